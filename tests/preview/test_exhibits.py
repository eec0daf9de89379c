"""Single augmentations: every one that a recipe can hold, at the strength it was published with."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.data.policies import strongest
from fathom.data.settings import (
    AugmentSettings,
    PadCrop,
    RandAugment,
    ResizedCrop,
    ScaleCrop,
)
from fathom.data.summary import Summary
from fathom.keeps.names import AUGMENTATIONS, PLAIN
from fathom.preview.exhibits import EXHIBITS, Exhibit, Strength
from fathom.recipes.registry import RECIPES, recipe
from fathom.recipes.tricks import TRICKS

IMAGENET = Summary(1_281_167, 1000, 500, 375, 3, None)
TUNED = {name: e for name, e in EXHIBITS.items() if e.strength is not None}


def published(name: str) -> AugmentSettings:
    exhibit = EXHIBITS[name]
    return exhibit.settings(exhibit.strength.published if exhibit.strength else 0.0)


def augment_of(name: str) -> AugmentSettings:
    return RECIPES[name].make(IMAGENET).augment


def test_every_trick_of_augmentation_is_there_and_is_what_it_says() -> None:
    tricks = {
        name: trick
        for name, trick in TRICKS.items()
        if any(path.startswith("augment.") for path in trick.on) and name != "repeats"
    }
    assert len(tricks) >= 14
    ground = recipe("default", summary=IMAGENET)
    for name, trick in tricks.items():
        assert not trick.has(replace(ground, augment=PLAIN)), name
        assert trick.has(replace(ground, augment=published(name))), name


def test_every_change_of_a_policy_is_there() -> None:
    changes = {e.change for e in EXHIBITS.values()} - {None}
    assert changes == set(strongest(RandAugment(), 224, 224))
    for name in changes:
        assert name is not None
        tunable = EXHIBITS[name].strength is not None
        assert tunable == (strongest(RandAugment(), 224, 224)[name] > 0)


@pytest.mark.parametrize("exhibit", TUNED.values(), ids=TUNED)
def test_the_slider_goes_from_weakest_over_published_to_strongest(exhibit: Exhibit) -> None:
    strength = exhibit.strength
    assert strength is not None
    values = [strength.value(place) for place in range(11)]
    assert (values[0], values[5], values[10]) == (
        strength.weakest,
        strength.published,
        strength.strongest,
    )
    assert values in (sorted(values), sorted(values, reverse=True))
    made = [exhibit.settings(value) for value in values]
    assert all(a != b for a, b in pairwise(made)), "every step changes something"
    said = [strength.said(value) for value in (values[0], values[5], values[10])]
    assert len(set(said)) == 3


@settings(deadline=None, derandomize=True, database=None)
@given(st.floats(0, 10), st.booleans())
def test_values_lie_between_the_ends(place: float, whole: bool) -> None:
    found = Strength("{:g}", 7, 28, 112, "", whole).value(place)
    low, high = (7, 28) if place <= 5 else (28, 112)
    exact = low + (high - low) * ((place - 5 * (place > 5)) / 5)
    assert found == pytest.approx(exact, abs=0.5 if whole else 1e-9)
    assert not whole or found.is_integer()


def test_published_values_are_those_of_the_recipes() -> None:
    crop = published("scale-crop").crop
    assert isinstance(crop, ScaleCrop)
    assert crop == augment_of("resnet_2015").crop
    crop = published("resized-crop").crop
    assert isinstance(crop, ResizedCrop)
    assert crop == augment_of("googlenet_2014").crop
    assert published("jitter").jitter == augment_of("googlenet_2014").jitter
    assert published("lighting").lighting == augment_of("alexnet_2012").lighting
    policy = augment_of("convnext_2022").policy
    assert isinstance(policy, RandAugment)
    assert published("randaugment").policy == replace(policy, probability=1.0)
    small = RECIPES["cifar_resnet_2015"].make(replace(IMAGENET, width=32, height=32)).augment.crop
    crop = published("crop").crop
    assert isinstance(small, PadCrop)
    assert isinstance(crop, PadCrop)
    assert (crop.padding / 224, crop.fill) == (small.padding / 32, small.fill)


def test_what_can_be_checked_is_known_to_the_check() -> None:
    assert {e.check for e in EXHIBITS.values() if e.check} == set(AUGMENTATIONS)
    assert {name for name, e in EXHIBITS.items() if e.mixes} == {
        "cutmix",
        "mixup",
        "mixup-or-cutmix",
    }
