"""Faults of data: each named in its own run, none in a healthy one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch

from fathom.doctor import Observed
from fathom.doctor.checks.data import CHECKS
from fathom.doctor.observed import Exam, Inputs, Order, Sharing

from .worlds import Pictures, causes, patterns, rolled, watched

SOUND = Inputs(images=64, mean=[0.0], std=[1.0], low=-2.0, high=2.0, entering=1.0)


def rows(recalls: list[float], images: int = 20) -> list[list[int]]:
    """A matrix with these recalls, all mistakes being class 0."""
    found = [[0] * len(recalls) for _ in recalls]
    for k, recall in enumerate(recalls):
        right = round(recall * images)
        found[k][k] += right
        found[k][0] += images - right
    return found


def healthy() -> Observed:
    seen = Observed(inputs=SOUND, order=Order(2048, 1.0), over=True)
    seen.sharing = Sharing(judged=400, plain=400)
    seen.task.num_classes, seen.task.counts = 4, [100, 90, 100, 80]
    seen.exams = [Exam(100, "val", "result", 0.1, 0.9, 80, rows([0.9] * 4))]
    return seen


def imbalanced(recall: float) -> Observed:
    seen = healthy()
    seen.task.counts = [100, 8, 8, 8]
    seen.exams = [Exam(100, "val", "result", 2.0, 0.3, 80, rows([1.0, *[recall] * 3]))]
    return seen


WAYS = {
    "in use": 0.9,
    "pixels from -1 to 1": 0.3,
    "pixels from 0 to 1": 1.2,
    "pixels from 0 to 255": 3.0,
}
FED = replace(
    SOUND, ways=WAYS, fed_as="ImageNet's mean and standard deviation", better="pixels from -1 to 1"
)
SICK: dict[str, Callable[[], Observed]] = {
    "input-range": lambda: replace(healthy(), inputs=replace(SOUND, entering=115.0, high=255.0)),
    "input-statistics": lambda: replace(healthy(), inputs=FED),
    "channel-order": lambda: replace(healthy(), inputs=replace(SOUND, exchanged=6.0)),
    "blank-images": lambda: replace(healthy(), sharing=Sharing(blank=0.25, plain=400)),
    "leakage": lambda: replace(
        healthy(), sharing=Sharing(leaked=40, leaked_names=["validation image 3"], judged=400)
    ),
    "not-shuffled": lambda: replace(healthy(), order=Order(2048, 31.0)),
    "same-worker-streams": lambda: replace(healthy(), sharing=Sharing(same_streams=True)),
    "augmented-validation": lambda: replace(healthy(), sharing=Sharing(moving=0.7)),
    "collapse-to-majority": lambda: imbalanced(0.0),
}
WELL: dict[str, Callable[[], Observed]] = {
    "as it is": healthy,
    "nothing is known": Observed,
    "scaled to one": lambda: replace(healthy(), inputs=replace(SOUND, entering=0.3, low=0.0)),
    "weights that want 0 to 255": lambda: replace(
        healthy(), inputs=replace(SOUND, entering=115.0, ways=WAYS, fed_as="pixels from 0 to 255")
    ),
    "shown four times": lambda: replace(healthy(), order=Order(2048, 4.0)),
    "a few labels": lambda: replace(healthy(), order=Order(64, 31.0)),
    "a copy or two": lambda: replace(healthy(), sharing=Sharing(leaked=3, judged=400)),
    "a blank image": lambda: replace(healthy(), sharing=Sharing(blank=0.005, plain=400)),
    "workers of their own": lambda: replace(healthy(), sharing=Sharing(same_streams=False)),
    "rare classes that are learnt": lambda: imbalanced(0.8),
}


@pytest.mark.parametrize("cause", SICK)
def test_a_sick_run_is_named_and_no_other_cause_of_data(cause: str) -> None:
    named = [name for name, check in CHECKS.items() if check(SICK[cause]())]
    assert named == [cause]


@pytest.mark.parametrize("name", WELL)
def test_a_healthy_run_has_no_finding(name: str) -> None:
    assert [cause for cause, check in CHECKS.items() if check(WELL[name]())] == []


@pytest.mark.parametrize("cause", SICK)
def test_all_evidence_speaks_and_says_what_to_do(cause: str) -> None:
    finding = CHECKS[cause](SICK[cause]())
    assert finding is not None
    assert finding.evidence
    assert all(evidence.speaks for evidence in finding.evidence)
    assert finding.remedy.words
    assert finding.remedy.code


def test_a_rate_of_leaks_counts_and_not_their_number() -> None:
    seen = healthy()
    seen.sharing = Sharing(leaked=40, judged=10_000)
    assert CHECKS["leakage"](seen) is None


def test_the_recipe_is_changed_where_there_is_one() -> None:
    seen = imbalanced(0.0)
    seen.task.recipe = {"sampling": "shuffled"}
    finding = CHECKS["collapse-to-majority"](seen)
    assert finding is not None
    assert finding.remedy.changes == {"sampling": "balanced"}


# Real runs.


@cache
def plain() -> Observed:
    return watched(Pictures(*patterns(320, 0)), Pictures(*patterns(200, 1)))


def test_a_real_run_is_healthy() -> None:
    assert causes(plain()) == []


def test_a_real_augmented_run_is_healthy() -> None:
    seen = watched(Pictures(*patterns(320, 0), rolled), Pictures(*patterns(200, 1)))
    assert causes(seen) == []
    assert [exam.split for exam in seen.exams] == ["val", "train", "augmented"]


def test_a_real_run_without_order_is_named() -> None:
    images, targets = patterns(320, 0)
    order = targets.argsort()
    seen = watched(
        Pictures(images[order], targets[order]), Pictures(*patterns(200, 1)), shuffle=False
    )
    assert causes(seen)[0] == "not-shuffled"


def test_a_real_leak_is_named_also_behind_augmentation() -> None:
    images, targets = patterns(320, 0)
    theirs, labels = patterns(200, 1)
    both = torch.cat([images, theirs[:60]]), torch.cat([targets, labels[:60]])
    seen = watched(Pictures(*both, rolled), Pictures(theirs, labels), steps=8)
    assert (seen.sharing.leaked, seen.sharing.judged) == (60, 200)
    assert causes(seen)[0] == "leakage"


def test_real_augmented_validation_and_blank_images_are_named() -> None:
    images, targets = patterns(320, 0)
    images[::4] = 0
    seen = watched(Pictures(images, targets), Pictures(*patterns(200, 1), rolled), steps=8)
    assert {"augmented-validation", "blank-images"} <= set(causes(seen))


def test_real_images_that_nobody_scaled_are_named_at_the_first_step() -> None:
    images, targets = patterns(320, 0)
    raw = (images * 50 + 120).clamp(0, 255)
    seen = watched(Pictures(raw, targets), Pictures(*patterns(200, 1)), steps=8)
    finding = CHECKS["input-range"](seen)
    assert finding is not None
    assert finding.since == 1
