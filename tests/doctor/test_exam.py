"""Asking loaders when a run is over: only what the network is really fed can be asked about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.doctor.diagnose import Verdict

from .checks.made import Tiny, pictures

IMAGES, TARGETS = pictures(64)


def prepared(
    change: Callable[[Tensor], Tensor], model: nn.Module, *, train: Any, val: Any = None
) -> Verdict:
    """A loop that prepares its images itself, and the verdict on it."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    watch = fathom.watch(model, optimizer, train=train, val=val, every=1)
    for _ in range(6):
        loss = F.cross_entropy(model(change(RAW)).float(), TARGETS)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        watch.step(loss, TARGETS)
    return watch.verdict()


RAW = ((IMAGES - IMAGES.min()) / (IMAGES.max() - IMAGES.min()) * 255).to(torch.uint8)
MEAN, STD = float(RAW.float().mean()), float(RAW.float().std())


def normalised(images: Tensor) -> Tensor:
    return (images.float() - MEAN) / STD


FED = normalised(RAW)
TYPE = "data and overfitting; train= gives uint8 images, but the model was fed float32: "
FORM = "data and overfitting; train= does not give batches of (N, C, H, W) images with (N,) classes"


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        ((RAW, TARGETS), TYPE + "give a loader of what the model is fed."),
        ((RAW.float() / 255, TARGETS), "data and overfitting; train= gives images of 0.4"),
        ((FED.expand(-1, 3, -1, -1), TARGETS), "gives images of 3 channels, but the model was fed"),
        ({"image": FED, "label": TARGETS}, FORM),
        ((FED, F.one_hot(TARGETS, 10).float()), FORM),
    ],
    ids=["type", "scale", "channels", "mapping", "soft"],
)
def test_a_loader_of_something_else_than_the_model_is_fed_is_not_asked(
    batch: Any, said: str
) -> None:
    verdict = prepared(normalised, Tiny(), train=[batch], val=[batch])
    assert not verdict.observed.exams
    assert said in str(verdict)
    assert "not judged: validation images; val= " in str(verdict)
    assert "give fathom.watch the loaders" not in str(verdict)


def test_a_loader_of_what_the_model_is_fed_is_asked() -> None:
    verdict = prepared(normalised, Tiny(), train=[(FED, TARGETS)], val=[(FED, TARGETS)])
    assert {exam.split for exam in verdict.observed.exams} == {"train", "val"}
    assert not verdict.unasked


def test_a_model_of_half_precision_is_not_asked_about_float32() -> None:
    model = Tiny(norms=False).bfloat16()
    verdict = prepared(lambda raw: normalised(raw).bfloat16(), model, train=[(FED, TARGETS)])
    assert "train= gives float32 images, but the model was fed bfloat16: " in str(verdict)


def test_validation_images_that_are_scaled_otherwise_are_asked_beside_sound_training_ones() -> None:
    raw = [(RAW.float(), TARGETS)]
    verdict = prepared(normalised, Tiny(), train=[(FED, TARGETS)], val=raw)
    assert {exam.split for exam in verdict.observed.exams} == {"train", "val"}
    assert set(prepared(normalised, Tiny(), train=None, val=raw).unasked) == {"val"}


def test_a_sample_tells_how_many_images_there_are_of_each_class_and_how_long_an_epoch_is() -> None:
    """A step of two parts sees twice as many images as its loader's batch holds."""
    images, targets = pictures(3000)
    loader = DataLoader(TensorDataset(images, targets), batch_size=30, shuffle=True)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    watch = fathom.watch(model, optimizer, train=loader, every=1)
    for _ in range(4):
        optimizer.zero_grad()
        for part in (0, 30):
            wanted = targets[part : part + 30]
            loss = F.cross_entropy(model(images[part : part + 30]), wanted) / 2
            loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        watch.step(2 * loss, wanted)
    task = watch.verdict().observed.task
    assert sum(task.counts) == pytest.approx(3000, abs=10)
    assert min(task.counts) > 150
    assert task.steps_per_epoch == 50
