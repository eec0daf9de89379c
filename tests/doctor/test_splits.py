"""Whether splits differ, by made-up pictures and by digits."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from fathom.doctor.checks.splits import _APART, _APART_AUGMENTED, _ERRORS
from fathom.doctor.feed import Sample
from fathom.doctor.splits import furthest


def digits(seed: int) -> tuple[Tensor, Tensor]:
    """(1797, 1, 8, 8) normalised digits and their classes, in a random order."""
    found = load_digits()
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(seed))
    images = (torch.tensor(found.images, dtype=torch.float32) / 16 - 0.305) / 0.376
    return images[order, None], torch.tensor(found.target)[order]


def halves(seed: int, val: int) -> tuple[Sample, Sample]:
    images, targets = digits(seed)
    return (
        Sample(images[val : val + 1000], targets[val : val + 1000], None),
        Sample(images[:val], targets[:val], None),
    )


def changed(sample: Sample, change: Callable[[Tensor], Tensor]) -> Sample:
    return Sample(change(sample.images), sample.targets, None)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("val", [60, 400])
def test_random_splits_are_alike(seed: int, val: int) -> None:
    train, judged = halves(seed, val)
    for augmented, limit in ((False, _APART), (True, _APART_AUGMENTED)):
        found = furthest(train, judged, augmented=augmented)
        assert found is not None
        assert found.effect < max(limit, _ERRORS * found.error)
        assert found.error == pytest.approx((1 / len(train.images) + 1 / val) ** 0.5)


def test_another_mixture_of_classes_and_other_numbers_are_no_difference() -> None:
    train, val = halves(0, 400)
    few = Sample(train.images[train.targets < 8], train.targets[train.targets < 8], None)
    rare = Sample(val.images[val.targets > 2], val.targets[val.targets > 2], None)
    shifted = Sample(val.images, (val.targets + 1) % 10, None)
    for ours, theirs in ((few, rare), (train, shifted)):
        found = furthest(ours, theirs, augmented=False)
        assert found is not None
        assert found.effect < _APART


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "on their side": lambda x: x.transpose(2, 3),
    "mirrored": lambda x: x.flip(3),
    "normalised twice": lambda x: (x - 0.305) / 0.376,
    "paler": lambda x: 0.7 * x,
    "inverted": lambda x: -x,
    "blurred": lambda x: interpolate(avg_pool2d(x, 2), size=8, mode="bilinear"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_images_that_are_prepared_otherwise_are_apart(change: str) -> None:
    train, val = halves(0, 400)
    found = furthest(train, changed(val, CHANGES[change]), augmented=False)
    assert found is not None
    assert found.effect > max(_APART, _ERRORS * found.error)


def test_behind_augmentation_only_brightness_counts() -> None:
    train, val = halves(0, 400)
    turned = furthest(train, changed(val, CHANGES["on their side"]), augmented=True)
    twice = furthest(train, changed(val, CHANGES["normalised twice"]), augmented=True)
    assert turned is not None
    assert twice is not None
    assert turned.effect < _APART_AUGMENTED < twice.effect
    assert twice.respect == "brightness"


def test_brightness_is_cohens_effect_within_classes() -> None:
    """Written out, with NumPy."""
    train, val = halves(1, 400)
    found = furthest(train, val, augmented=True)
    ours, theirs = (s.images.numpy().mean((1, 2, 3)) for s in (train, val))
    means = [ours[train.targets.numpy() == k].mean() for k in range(10)]
    left = ours - np.take(means, train.targets.numpy())
    right = theirs - np.take(means, val.targets.numpy())
    pooled = np.sqrt((left.var() + right.var()) / 2)
    assert found is not None
    assert found.effect == pytest.approx(abs(right.mean()) / pooled, rel=2e-2)


def test_nothing_is_said_of_few_images_or_another_shape() -> None:
    train, val = halves(0, 20)
    assert furthest(train, val, augmented=False) is None
    train, val = halves(0, 100)
    assert furthest(train, changed(val, lambda x: x[..., :6]), augmented=False) is None
    alien = Sample(val.images, val.targets + 10, None)
    assert furthest(train, alien, augmented=False) is None
