"""Runs that are made up, or tiny, for the checks of optimization, the loop and the modes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fathom
from fathom.doctor import Observed
from fathom.doctor.observed import Curve, Exam, LayerFacts, Look, Signals, Task, Weights

CLASSES = 10
CHANCE = math.log(CLASSES)


def layers(count: int, *, norms: bool = True) -> list[LayerFacts]:
    """Convolutions of 9 x 16 inputs and 16 outputs, each with a norm behind it where wanted."""
    found = []
    for place in range(count):
        conv = LayerFacts(f"conv{place}", "conv", "Conv2d", params=2304, trainable=True)
        found.append(replace(conv, fan_in=144, weights=2304))
        if norms:
            name = f"norm{place}"
            found.append(LayerFacts(name, "norm", "BatchNorm2d", params=32, trainable=True))
    return found


def look(step: int, count: int, *, scale: float = 1.0, **changes: Any) -> Look:
    """A look at layers drawn from He's distribution times scale, with usual gradients and steps."""
    norm = scale * math.sqrt(2 * 2304 / 144)
    names = [f"conv{place}" for place in range(count)]
    made = Look(
        step,
        loss=1.0,
        lr=0.1,
        weights={name: Weights(0.1 * norm, norm, 0.005 * norm) for name in names},
        signals={name: Signals(std=1.0, zeros=0.5) for name in names},
        line={"0": 1.0, "0.1": 0.99, "1": 0.95, "10": 3.0},
        logit_std=1.0,
    )
    return replace(made, **changes)


def made(
    loss: Callable[[int], float],
    *,
    count: int = 8,
    norms: bool = True,
    steps: int = 200,
    looks: list[Look] | None = None,
    lr: Callable[[int], float] = lambda step: 0.1,
) -> Observed:
    """A run that is over, with this loss and learning rate at each step."""
    seen = Observed(task=Task(num_classes=CLASSES), over=True)
    seen.structure.layers = layers(count, norms=norms)
    seen.structure.longest = seen.structure.shortest = count
    seen.curve = Curve()
    for step in range(1, steps + 1):
        seen.curve.add(step, loss(step), 0.5, lr(step))
    seen.looks = [look(step, count) for step in (1, 4, 16, 64)] if looks is None else looks
    last = seen.curve.loss[-1]
    seen.exams = [Exam(steps, "train", "result", last, 0.9, 512)]
    return seen


def falls(step: int) -> float:
    """A healthy loss."""
    return CHANCE * math.exp(-step / 20)


def stays(step: int) -> float:
    """A loss that stays where guessing is."""
    return CHANCE


class Tiny(nn.Module):
    """Three convolutions, with norms and dropout where wanted."""

    def __init__(
        self, *, norms: bool = True, act: type[nn.Module] = nn.ReLU, dropout: float = 0.0
    ) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for a, b in ((1, 8), (8, 8), (8, 16)):
            parts += [nn.Conv2d(a, b, 3, padding=1), *([nn.BatchNorm2d(b)] if norms else []), act()]
        self.features = nn.Sequential(*parts, nn.AdaptiveAvgPool2d(2), nn.Flatten())
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.drop(self.features(images)))
        return logits


def pictures(count: int = 160) -> tuple[Tensor, Tensor]:
    """Ten patterns of 8 x 8 pixels with a little noise, which any network learns in some steps."""
    source = torch.Generator().manual_seed(0)
    targets = torch.arange(count) % CLASSES
    patterns = torch.randn(CLASSES, 1, 8, 8, generator=source)
    return patterns[targets] + 0.3 * torch.randn(count, 1, 8, 8, generator=source), targets


def train(
    model: nn.Module,
    *,
    steps: int = 60,
    lr: float = 0.05,
    wd: float = 0.0,
    batch_size: int = 32,
    every: int = 5,
    average: nn.Module | None = None,
    decay: float = 0.9,
    optimizer: torch.optim.Optimizer | None = None,
    mode: Callable[[nn.Module], object] = lambda model: model.train(),
    judge: Callable[[nn.Module], object] = lambda model: model.eval(),
    schedule: Callable[[float], float] = lambda progress: 1.0,
    loss_of: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Observed:
    """A plain loop with a watch -> what it saw."""
    torch.manual_seed(0)
    images, targets = pictures()
    optimizer = optimizer or torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=lr, momentum=0.9, weight_decay=wd
    )
    loader = [(images, targets)]
    watch = fathom.watch(
        model,
        optimizer,
        train=loader,
        val=loader,
        average=average,
        every=every,
    )
    source = torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(step / steps)
        mode(model)
        chosen = torch.randperm(len(targets), generator=source)[:batch_size]
        loss = loss_of(model(images[chosen]), targets[chosen])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if average is not None:
            with torch.no_grad():
                for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                    mine.lerp_(theirs, 1 - decay)
                for held, new in zip(average.buffers(), model.buffers(), strict=True):
                    held.copy_(new)
        watch.step(loss, targets[chosen])
        if step % 20 == 10:
            judge(model)
            with torch.no_grad():
                model(images)
    seen = watch.verdict().observed
    watch.close()
    return seen
