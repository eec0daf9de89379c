"""Pretrained networks in the trial: how a healthy run fine-tunes them, and faults of their inputs.

No threshold was set on them: those of these checks are `fathom.transfer.fits`'s. They are cases of
the held half alone. Exchanged channels show only where the network has the classifier of its
weights, and on photographs only: enlarged CIFAR-10 images look to it as those in false colours do,
which are healthy (docs/results/transfer.md), so that fault is not planted there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import torch
from faults import Change, Fits
from loops import Plan
from torch import Tensor, nn

from fathom.models.base import ImageClassifier
from fathom.weights.sources import IMAGENET_MEAN, IMAGENET_STD

_STEPS_AND_RATE = {"cifar10-96": (36, 0.02), "photographs": (12, 0.005)}


def start(plan: Plan) -> Plan:
    """A healthy run from pretrained weights; slow where these know the classes already."""
    steps, lr = _STEPS_AND_RATE[plan.world.name]
    plan = replace(plan, lr=lr, wd=1e-4, batch_size=32, steps=steps)
    return replace(plan, normalise=_own, prepare=_quick_norms)


def _quick_norms(model: nn.Module) -> None:
    """Running statistics that follow within so few steps; with the weights' own momentum of 0.01 a
    run that names 70 % right in training mode came to 24 % in evaluation."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1


def _own(image: Tensor) -> Tensor:
    """As EfficientNet-Lite's weights expect pixels."""
    return (image.float() - 127) / 128


def _imagenet(image: Tensor) -> Tensor:
    mean, std = (torch.tensor(v)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STD))
    return (image.float() / 255 - mean) / std


def _fed(prepared: Callable[[Tensor], Tensor]) -> Change:
    return lambda plan: replace(plan, normalise=prepared)


def _always(_model: nn.Module) -> bool:
    return True


def _own_classes(model: nn.Module) -> bool:
    """Whether a network still has the classifier of its weights."""
    return cast(ImageClassifier, model).num_classes == 1000


def _new_classes(model: nn.Module) -> bool:
    return not _own_classes(model)


def _head_alone(model: nn.Module) -> None:
    cast(ImageClassifier, model).train_last(0)


FAULTS: dict[str, list[tuple[Change, Fits]]] = {
    "input-range": [(_fed(lambda image: image.float()), _always)],
    "input-statistics": [
        (_fed(_imagenet), _always),
        (_fed(lambda image: image.float() / 255), _always),
    ],
    "channel-order": [(_fed(lambda image: _own(image.flip(0))), _own_classes)],
}

HEALTHY: dict[str, tuple[Change, Fits]] = {
    "fine-tuned": (lambda p: p, _always),
    "fine-tuned at a low rate": (lambda p: replace(p, lr=p.lr / 5), _always),
    "head alone": (lambda p: replace(p, prepare=_head_alone), _new_classes),
}
