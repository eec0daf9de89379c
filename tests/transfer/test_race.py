"""What a race of strategies is run on, and the pace that it measures."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import fathom
from fathom.data.catalog import Catalog, ImageList
from fathom.data.load import Split
from fathom.data.sources import Arrays
from fathom.data.split import SplitCatalog
from fathom.training.reports import StepReport
from fathom.transfer.race import batch_for, drawn, num_judges, pace, thinned


def images(counts: list[int]) -> ImageList:
    """So many blank images of each class."""
    targets = [target for target, count in enumerate(counts) for _ in range(count)]
    source = Arrays(np.zeros((len(targets), 2, 2, 1), np.uint8))
    return ImageList(source, tuple(map(str, range(len(targets)))), tuple(targets))


def step(number: int, seconds: float) -> StepReport:
    return StepReport(number, 0, 1.0, 0.5, 0.1, 32 / seconds, seconds, 0.0)


def test_a_batch_is_no_larger_than_what_is_trained_on() -> None:
    """Of few seconds few images are loaded, and the recipe was made for all of them."""
    split = Split(images([10, 20]), None)
    data = SimpleNamespace(splits={"train": split})
    for size, wanted in ((128, 30), (16, 16)):
        recipe = fathom.recipe("default", "digits", epochs=1, batch_size=size)
        assert batch_for(recipe, cast(Any, data)) == wanted


@pytest.mark.parametrize(
    ("seconds", "image_seconds", "wanted"), [(5.4, 0.004, 202), (5.4, 0.1, 100), (600, 0.004, 500)]
)
def test_judging_takes_its_share_of_the_race(
    seconds: float, image_seconds: float, wanted: int
) -> None:
    assert num_judges(seconds, image_seconds) == wanted


def test_a_class_of_one_image_is_among_those_drawn() -> None:
    """Skewed data have validation classes of a single image."""
    skewed = images([1, 900, 99])
    found = Counter(skewed.targets[i] for i in drawn(skewed, 100, 0))
    assert found == {0: 1, 1: 90, 2: 10}
    assert drawn(skewed, 100, 0) == drawn(skewed, 100, 0) != drawn(skewed, 100, 1)
    assert drawn(skewed, 1000, 0) == list(range(1000))


def test_fresh_weights_are_given_what_they_have_time_for() -> None:
    splits = {"train": images([4000, 4000]), "val": images([300, 300]), "test": images([50, 50])}
    whole = SplitCatalog(Catalog("a", ("x", "y"), splits), {})
    few = thinned(whole, seconds=10, seed=0, judges=200).catalog.splits
    assert {role: len(split) for role, split in few.items()} == {"train": 3000, "val": 200}
    ample = thinned(whole, seconds=100, seed=0, judges=200).catalog.splits
    assert len(ample["train"]) == 8000


def test_the_pace_is_that_of_the_steps_without_loading_and_judging() -> None:
    """A slow first step and an evaluation between two epochs do not count."""
    times = (4.0, 4.5, 5.0, 9.0, 9.5)
    assert pace([step(n, t) for n, t in enumerate(times)], 32) == 64
    assert pace([step(1, 4.0)], 32) == 8


def test_one_slow_step_does_not_set_the_pace() -> None:
    """Fine-tuning that got through one step in its share counted a third of its pace."""
    assert pace([step(1, 4.0)], 32, usual=25.0) == 25
    assert pace([step(1, 1.0)], 32, usual=25.0) == 32
    assert pace([step(1, 4.0), step(2, 5.0)], 32, usual=25.0) == 32
