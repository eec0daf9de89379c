"""Few images: how they are drawn, how near they read, and both rules' verdicts."""

from __future__ import annotations

import pytest

from fathom.experiments import make_setting
from fathom.experiments.transfer import few_images, reading, transfer, transfer_far
from tests.experiments.scaffold import results, setting


def test_few_images_are_drawn_by_seed_and_judged_by_the_same() -> None:
    digits = make_setting("digits")
    one, same, other = (few_images(digits, 20, seed).catalog.splits for seed in (0, 0, 1))
    for role, images in one.items():
        assert images.keys == same[role].keys
        assert (images.keys == other[role].keys) == (role == "test")
    for splits in (one, other):
        train, val, test = (set(splits[role].keys) for role in ("train", "val", "test"))
        assert len(train | val | test) == len(train) + len(val) + len(test)
        for number in range(10):
            targets = (*splits["train"].targets, *splits["val"].targets)
            assert 19 <= targets.count(number) <= 21
            assert splits["val"].targets.count(number) == 4


def cells(
    tops: dict[str, float], distance: float | None, weights: str | None = "lite0", seeds: int = 3
) -> dict[str, list[dict[str, object]]]:
    """Three seeds near these accuracies."""
    return {
        arm: [
            {
                "top1": top1 + each,
                "distance": None if arm == "scratch" else distance,
                "weights": weights,
                "images": 500,
                "judging": 1000,
                "minutes": 1.5,
            }
            for each in (-0.002, 0.0, 0.002)[:seeds]
        ]
        for arm, top1 in tops.items()
    }


GOOD = {"probe": 0.8, "partial": 0.8, "finetune": 0.79, "scratch": 0.4}
BAD = {"probe": 0.6, "partial": 0.7, "finetune": 0.9, "scratch": 0.8}


@pytest.mark.parametrize(
    ("tops", "distance", "weights", "seeds", "verdict"),
    [
        (GOOD, 0.02, "lite0", 3, "demonstrated"),
        (GOOD, 0.07, "lite0", 3, "demonstrated"),
        (GOOD, 0.2, "lite0", 3, "not-reproduced"),
        (GOOD, None, "lite0", 3, "not-reproduced"),
        (GOOD, 0.02, None, 3, "not-reproduced"),
        (GOOD, 0.02, "lite0", 2, "not-reproduced"),
        (BAD, 0.02, "lite0", 3, "not-reproduced"),
        ({**GOOD, "scratch": 0.8}, 0.02, "lite0", 3, "not-reproduced"),
    ],
)
def test_the_probe_is_enough_where_nothing_is_better_and_scratch_is_worse(
    tops: dict[str, float], distance: float | None, weights: str | None, seeds: int, verdict: str
) -> None:
    made = results(cells(tops, distance, weights, seeds))
    found = transfer(setting()).findings(made)
    assert found.verdicts["transfer.probe"].verdict == verdict
    assert set(found.verdicts) == {"transfer.probe"}


@pytest.mark.parametrize(
    ("tops", "distance", "verdict"),
    [
        (BAD, 0.2, "demonstrated"),
        (BAD, 0.07, "not-reproduced"),
        (GOOD, 0.2, "not-reproduced"),
    ],
)
def test_frozen_features_do_not_carry_over_where_others_are_better_on_far_images(
    tops: dict[str, float], distance: float, verdict: str
) -> None:
    found = transfer_far(setting()).findings(results(cells(tops, distance)))
    judged = found.verdicts["transfer.different_domain"]
    assert judged.verdict == verdict
    assert ("Better than the probe" in judged.explanation) == (tops is BAD)


@pytest.mark.parametrize(
    ("distance", "word"),
    [(0.037, "near"), (0.038, "somewhat different"), (0.105, "far"), (None, "unknown")],
)
def test_the_reading_is_that_of_the_mean_distance(distance: float | None, word: str) -> None:
    assert reading(results(cells(GOOD, distance))) == word
