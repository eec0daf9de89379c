"""`fathom.watch` in loops that are not Fathom's: what is healthy is called so, a fault is named.

A learner of fastai is in benchmarks/doctor_in_fastai.py: fastai is no dependency of Fathom's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import pytorch_lightning as pl
import timm
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.doctor.diagnose import Verdict


def loaders(*, side: int = 8) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Digits to train on and to validate."""
    found = load_digits()
    images = (torch.tensor(found.images, dtype=torch.float32)[:, None] / 16 - 0.305) / 0.376
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, targets = F.interpolate(images, size=side)[order], torch.tensor(found.target)[order]
    shuffled = torch.Generator().manual_seed(0)
    train = TensorDataset(images[:1400], targets[:1400])
    val = TensorDataset(images[1400:], targets[1400:])
    return (
        DataLoader(train, 32, shuffle=True, drop_last=True, generator=shuffled),
        DataLoader(val, 128),
    )


def layers() -> nn.Sequential:
    torch.manual_seed(0)
    inner: list[nn.Module] = []
    for before, after in ((1, 16), (16, 32)):
        inner += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*inner, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 10))


def causes(verdict: Verdict) -> list[str]:
    return [finding.cause for finding in verdict.findings]


def plain(model: nn.Module, *, clear: bool = True, epochs: int = 8) -> Verdict:
    """A loop as everybody writes it."""
    train, val = loaders()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    watch = fathom.watch(model, optimizer, train=train, val=val, every=10)
    for _ in range(epochs):
        model.train()
        for images, targets in train:
            if clear:
                optimizer.zero_grad()
            loss = F.cross_entropy(model(images), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            watch.step(loss, targets)
    return watch.verdict()


def test_a_plain_loop_is_healthy() -> None:
    verdict = plain(layers())
    assert causes(verdict) == []
    assert str(verdict) == (
        "healthy: nothing wrong was found (344 steps, 35 of them looked at closely)"
    )


def test_a_plain_loop_that_never_clears_gradients() -> None:
    assert causes(plain(layers(), clear=False))[:1] == ["gradients-not-cleared"]


def of_timm(model: nn.Module, epochs: int = 4) -> Verdict:
    """A loop around a model of timm, with AdamW."""
    train, val = loaders()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.02
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs * len(train))
    watch = fathom.watch(model, optimizer, train=train, val=val, every=20)
    for _ in range(epochs):
        model.train()
        for images, targets in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(images), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            watch.step(loss, targets)
    return watch.verdict()


def small() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = timm.create_model("test_resnet", num_classes=10, in_chans=1)
    model.conv1 = nn.Conv2d(1, 32, 3, padding=1, bias=False)
    return model


def test_a_model_of_timm_is_healthy() -> None:
    assert causes(of_timm(small())) == []


def test_a_model_of_timm_with_a_frozen_layer() -> None:
    model = small()
    model.get_submodule("layer2").requires_grad_(requires_grad=False)
    verdict = of_timm(model, epochs=1)
    assert causes(verdict)[:1] == ["layer-frozen"]
    assert all(name.startswith("layer2") for name in verdict.findings[0].where)


class Net(pl.LightningModule):
    """A module of Lightning; its two lines about the watch are those of docs/doctor/watch.md."""

    def __init__(self, *last: nn.Module, held: slice = slice(None)) -> None:
        super().__init__()
        self.layers = layers().extend(last)
        self.held = held

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], _place: int) -> Tensor:
        images, targets = batch
        loss = F.cross_entropy(self(images), targets)
        self.watch.step(loss, targets)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        held = self.layers[self.held].parameters()
        optimizer = torch.optim.SGD(held, lr=0.02, momentum=0.9)
        self.watch = fathom.watch(self, optimizer, every=10)
        return optimizer


def fitted(net: Net, epochs: int = 4) -> Verdict:
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(net, loaders()[0])
    return net.watch.verdict()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Lightning recommends more workers and more cores; that is not about the doctor."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="pytorch_lightning")
        yield


def test_a_module_of_lightning_is_healthy() -> None:
    verdict = fitted(Net())
    assert causes(verdict) == []
    assert verdict.observed.curve.step[-1] == 4 * 43
    assert verdict.observed.passes.training == 4 * 43
    assert len(verdict.observed.looks) == 18
    assert "give fathom.watch the loaders" in str(verdict)


def test_a_module_of_lightning_whose_head_is_not_optimised() -> None:
    verdict = fitted(Net(held=slice(-1)), epochs=1)
    assert causes(verdict)[:1] == ["parameters-not-optimised"]
    assert verdict.findings[0].where == ("layers.8",)


def test_a_module_of_lightning_that_ends_in_a_softmax() -> None:
    assert causes(fitted(Net(nn.Softmax(1)), epochs=2))[:1] == ["softmax-before-loss"]
