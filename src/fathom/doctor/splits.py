"""Whether validation images look like training images, class by class, before any network."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.doctor.feed import Sample
from fathom.doctor.observed import Apart

_SIDE = 8  # pixels of a thumbnail
_FEW = 32  # images, below which nothing is said
_TINY = 1e-3  # of the spread of the values; below it a measure is taken to be constant


def furthest(train: Sample, val: Sample, *, augmented: bool) -> Apart | None:
    """The respect in which validation images are least like training images of their class.

    Respects are brightness (the mean of a channel) and, unless training images are augmented,
    contrast, sharpness across and down, and what lies where (thumbnails of 8 x
    8). Means of a class are taken away first, so that splits of another mixture of classes are not
    apart. None for fewer than 32 images of the same classes, or another shape.
    Source: Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences", for the effect.
    """
    both = set(train.targets.tolist()) & set(val.targets.tolist())
    known = torch.tensor(sorted(both), dtype=torch.int64)
    train, val = _of(train, known), _of(val, known)
    count = min(len(train.images), len(val.images))
    if count < _FEW or train.images.shape[1:] != val.images.shape[1:]:
        return None
    spread = float(train.images.float().std())
    error = math.sqrt(1 / len(train.images) + 1 / len(val.images))
    ours, theirs = dict(_respects(train.images)), dict(_respects(val.images))
    names = ["brightness"] if augmented else list(ours)
    effects = {
        name: _effect(ours[name], train.targets, theirs[name], val.targets, _TINY * spread)
        for name in names
    }
    name = max(effects, key=lambda respect: effects[respect])
    return Apart(name, effects[name], error, augmented)


def _of(sample: Sample, classes: Tensor) -> Sample:
    rows = torch.isin(sample.targets, classes)
    return Sample(sample.images[rows], sample.targets[rows], None)


def _respects(images: Tensor) -> Iterator[tuple[str, Tensor]]:
    """(N, C, H, W) -> (N, measures) of each respect."""
    values = images.float()
    std = values.std((2, 3)) + _TINY
    yield "brightness", values.mean((2, 3))
    yield "contrast", std.log()
    yield "sharpness across", (values.diff(dim=3).abs().mean((2, 3)) / std + _TINY).log()
    yield "sharpness down", (values.diff(dim=2).abs().mean((2, 3)) / std + _TINY).log()
    yield "what lies where", F.adaptive_avg_pool2d(values, _SIDE).flatten(1)


def _effect(
    ours: Tensor, classes: Tensor, theirs: Tensor, their_classes: Tensor, least: float
) -> float:
    """The largest effect of any measure, (N, M) and (V, M), within classes."""
    count = int(classes.max()) + 1
    sums = torch.zeros(count, ours.shape[1]).index_add_(0, classes, ours)
    means = sums / classes.bincount(minlength=count).clamp(min=1)[:, None]
    apart = (theirs - means[their_classes]).mean(0)
    within = (ours - means[classes]).var(0, correction=0)
    beyond = (theirs - means[their_classes]).var(0, correction=0)
    return float((apart.abs() / (((within + beyond) / 2).sqrt() + least)).max())
