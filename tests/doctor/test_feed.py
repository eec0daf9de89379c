"""What the network is fed, and how images are read from a loader."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset

from fathom.doctor.feed import (
    Fed,
    Labelled,
    chance_kept,
    clumps,
    comes_trained,
    evaluated_view,
    prepared_as,
    read_inputs,
    sample,
)
from fathom.doctor.observed import Inputs
from fathom.transfer.fits import PREPARATIONS

from .checks.made import Tiny
from .checks.worlds import Pictures, patterns, rolled

QUIET = settings(deadline=None, derandomize=True, database=None, max_examples=30)


def test_inputs_are_told_by_channel_and_leave_the_model_as_it_was() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    images = 100 + 50 * torch.randn(32, 3, 6, 6)
    state = torch.get_rng_state()
    found = read_inputs(model, images, pretrained=False)
    assert found.mean == pytest.approx(images.mean((0, 2, 3)).tolist(), rel=1e-5)
    assert found.std == pytest.approx(images.std((0, 2, 3), correction=0).tolist(), rel=1e-4)
    assert (found.low, found.high) == (float(images.min()), float(images.max()))
    assert found.entering == pytest.approx(1, rel=0.05)  # the norm comes first
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_what_enters_a_network_without_a_norm_before_is_the_images() -> None:
    images = 100 * torch.ones(16, 1, 8, 8)
    assert read_inputs(Tiny(), images, pretrained=False).entering == pytest.approx(100)


def test_norms_that_have_learnt_are_told_from_new_ones() -> None:
    model = Tiny()
    assert not comes_trained(model)
    model(torch.randn(4, 1, 8, 8))
    assert comes_trained(model)
    assert not comes_trained(Tiny(norms=False))


@pytest.mark.parametrize("name", PREPARATIONS)
def test_the_way_of_preparing_is_told_by_the_range(name: str) -> None:
    mean, std = PREPARATIONS[name]
    ends = [(end - m) / s for end in (0, 1) for m, s in zip(mean, std, strict=True)]
    assert prepared_as(Inputs(low=min(ends), high=max(ends))) == name
    assert prepared_as(Inputs(low=-4.0, high=4.0)) == ""


class Sensor(nn.Module):
    """A norm that knows pixels from -1 to 1, and nothing else."""

    def __init__(self, pixels: torch.Tensor) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 10)
        wanted = pixels * 2 - 1
        self.norm.running_mean = wanted.mean((0, 2, 3))
        self.norm.running_var = wanted.var((0, 2, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.head(self.norm(images).mean((2, 3)))
        return found


def test_pretrained_norms_say_how_they_want_to_be_fed() -> None:
    source = torch.Generator().manual_seed(0)
    coarse = torch.rand(32, 3, 4, 4, generator=source)
    pixels = nn.functional.interpolate(coarse, size=32, mode="bilinear")
    pixels = 0.45 + 1.2 * (pixels - 0.5)
    pixels = pixels.clamp(0, 1)
    model = Sensor(pixels)
    assert read_inputs(model, pixels * 2 - 1, pretrained=True).better == ""
    raw = read_inputs(model, pixels * 255, pretrained=True)
    assert raw.fed_as == "pixels from 0 to 255"
    assert raw.better == "pixels from -1 to 1"
    assert raw.ways["in use"] > raw.ways[raw.better]


@QUIET
@given(st.integers(2, 12), st.integers(0, 10_000))
def test_shuffled_labels_do_not_clump_and_repeated_ones_do(classes: int, seed: int) -> None:
    rng = random.Random(seed)
    labels = [rng.randrange(classes) for _ in range(2048)]
    assert 0.4 < clumps(labels) < 2
    assert 1.5 < clumps([label for label in labels[:512] for _ in range(4)]) < 8
    assert clumps(sorted(labels)) > 20


def test_clumps_are_pearsons_statistic_over_its_degrees_of_freedom() -> None:
    from scipy.stats import chi2_contingency  # type: ignore[import-untyped]

    labels = torch.randint(5, (320,), generator=torch.Generator().manual_seed(0)).tolist()
    table = np.array([[labels[i : i + 32].count(c) for c in range(5)] for i in range(0, 320, 32)])
    found = chi2_contingency(table, correction=False)
    assert clumps(labels) == pytest.approx(found.statistic / found.dof)


def test_one_class_alone_says_something_only_after_all_labels() -> None:
    labelled = Labelled()
    assert labelled.take(torch.zeros(1024, dtype=torch.int64)).clumps == 1
    assert labelled.take(torch.zeros(4096, dtype=torch.int64)).clumps == 32
    assert labelled.full
    assert len(labelled.labels) == 2048


def test_a_sample_comes_from_everywhere_and_knows_its_places() -> None:
    images, targets = patterns(300, 0)
    found = sample(DataLoader(Pictures(images, targets), 16), images=100)
    assert found is not None
    assert found.places is not None
    assert len(set(found.places)) == len(found.images) == 100
    assert torch.equal(found.images, images[found.places])
    assert torch.equal(found.targets, targets[found.places])
    assert max(found.places) > 250


def test_any_iterable_of_batches_gives_its_first_images() -> None:
    images, targets = patterns(64, 0)
    batches = [(images[i : i + 16], targets[i : i + 16]) for i in range(0, 64, 16)]
    found = sample(batches, images=20)
    assert found is not None
    assert found.places is None
    assert torch.equal(found.images, images[:32])


def test_what_is_no_image_with_a_class_is_no_sample() -> None:
    images, targets = patterns(8, 0)
    assert sample([(images, targets.float())]) is None
    assert sample([(images.flatten(1), targets)]) is None
    assert sample([{"image": images}]) is None
    assert sample([]) is None


def test_random_states_are_kept() -> None:
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    with chance_kept():
        random.random(), torch.rand(3), np.random.rand(3)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state()[1].tolist() == states[2]  # type: ignore[index]


def test_training_images_are_seen_through_the_transform_of_validation() -> None:
    train, val = Pictures(*patterns(20, 0), rolled), Pictures(*patterns(20, 1))
    seen = evaluated_view(Subset(train, [3, 5]), val)
    assert seen is not None
    assert torch.equal(seen[1][0], train.images[5])
    assert train.transform is rolled
    assert evaluated_view(train, TensorDataset(*patterns(20, 1))) is None


def test_what_was_fed_is_that_of_all_batches_of_the_last_type() -> None:
    images = torch.rand(96, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fed = Fed()
    assert not fed.unlike(images)
    fed.take((255 * images).to(torch.uint8))
    for part in (images[:40], images[40:]):
        fed.take(part)
    assert not fed.unlike(images)
    assert fed.unlike((images - 0.5) / 0.5).endswith("fed 0.50 ± 0.29, 0.51 ± 0.29, 0.50 ± 0.29")
    assert not fed.unlike((images - 0.5) / 0.5, scaled=False)
    assert fed.unlike(images.double()) == "gives float64 images, but the model was fed float32"


def test_mixing_in_the_loop_and_few_images_are_not_taken_for_another_scale() -> None:
    images = torch.randn(128, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    fed = Fed()
    fed.take((images + images.flip(0)) / 2)
    assert not fed.unlike(images)
    assert fed.unlike(10 * images)
    assert not fed.unlike(10 * images[:8])


def test_a_constant_channel_is_not_measured_by_its_rounding() -> None:
    fed = Fed()
    fed.take(torch.full((40, 1, 9, 9), 0.4))
    assert not fed.unlike(torch.full((64, 1, 7, 7), 0.4 + 1e-7))
    assert fed.unlike(torch.full((64, 1, 7, 7), 0.5))
