"""Faults of labels: told from each other, and from a network that does not learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fathom.doctor import Observed
from fathom.doctor.checks.labels import CHECKS
from fathom.doctor.observed import Exam, Inputs, Neighbours, Sharing

from .worlds import Pictures, causes, hidden, noisy, patterns, watched

CLASSES, EACH = 10, 40
ALIKE = Neighbours(1024, 400, train=0.96, val=0.95, across=0.96, chance=0.1)


def matrix(right: float, *, to: int = 0) -> list[list[int]]:
    """Each class is named as the one `to` further on, and else spread over all others."""
    found = []
    for k in range(CLASSES):
        row = [round((1 - right) * EACH / (CLASSES - 1))] * CLASSES
        row[(k + to) % CLASSES] = round(right * EACH)
        found.append(row)
    return found


def run(train: float, val: float, *, to: int = 0, near: Neighbours | None = ALIKE) -> Observed:
    """A run that ended with these accuracies."""
    seen = Observed(over=True, inputs=Inputs(images=64, entering=1.0))
    seen.task.num_classes = CLASSES
    seen.labels.neighbours = near
    plain = 0.0 if to else val
    seen.exams = [
        Exam(100, "train", "result", 0.1, train, 512, matrix(train)),
        Exam(100, "val", "result", 0.5, plain, 400, matrix(val, to=to)),
    ]
    return seen


def augmented(top1: float, shown: float) -> Observed:
    seen = run(0.9, 0.9, near=replace(ALIKE, shown=shown))
    seen.exams.append(Exam(100, "augmented", "result", 1.0, top1, 512, augmented=True))
    return seen


RANDOM = Neighbours(1024, 400, train=0.1, val=0.95, across=0.11, chance=0.1)
NOISY = Neighbours(1024, 400, train=0.65, val=0.95, across=0.8, chance=0.1)
SICK: dict[str, tuple[str, Callable[[], Observed]]] = {
    "shifted by one": ("classes-shifted", lambda: run(0.99, 0.9, to=1)),
    "random, by heart": ("labels-shuffled", lambda: run(0.99, 0.1, near=RANDOM)),
    "random, nothing learnt": ("labels-shuffled", lambda: run(0.1, 0.1, near=RANDOM)),
    "noisy, by heart": ("label-noise", lambda: run(0.99, 0.85, near=NOISY)),
    "noisy, held back": ("label-noise", lambda: run(0.75, 0.95)),
    "hidden": ("augmentation-destroys-labels", lambda: augmented(0.5, 0.13)),
}
WELL: dict[str, Callable[[], Observed]] = {
    "as it is": lambda: run(1.0, 0.95),
    "nothing is known": Observed,
    "overfitted": lambda: run(1.0, 0.5),
    "does not learn": lambda: run(0.1, 0.1),
    "hard images": lambda: run(0.9, 0.6, near=replace(ALIKE, train=0.26, val=0.25, across=0.27)),
    "pixels tell nothing": lambda: run(0.9, 0.6, near=replace(RANDOM, val=0.1)),
    "strong augmentation": lambda: augmented(0.6, 0.4),
    "strong augmentation that is learnt": lambda: augmented(0.95, 0.13),
}


@pytest.mark.parametrize("name", SICK)
def test_a_sick_run_is_named_and_no_other_fault_of_labels(name: str) -> None:
    cause, made = SICK[name]
    assert [known for known, check in CHECKS.items() if check(made())] == [cause]
    finding = CHECKS[cause](made())
    assert finding is not None
    assert all(evidence.speaks for evidence in finding.evidence)
    assert finding.remedy.words
    assert finding.rejected


@pytest.mark.parametrize("name", WELL)
def test_a_healthy_run_has_no_finding(name: str) -> None:
    assert [known for known, check in CHECKS.items() if check(WELL[name]())] == []


def test_two_classes_that_changed_places_are_named() -> None:
    seen = run(0.99, 0.9)
    rows = seen.exams[1].matrix
    assert rows is not None
    rows[2], rows[7] = rows[7], rows[2]
    finding = CHECKS["classes-shifted"](seen)
    assert finding is not None
    assert finding.where == ("class 2 is named 7", "class 7 is named 2")


def test_training_images_seen_through_augmentation_say_nothing_of_noise() -> None:
    seen = run(0.75, 0.95)
    seen.exams[0].augmented = True
    assert CHECKS["label-noise"](seen) is None


def test_blank_images_explain_what_looks_like_noise() -> None:
    seen = run(0.75, 0.95, near=NOISY)
    seen.sharing = Sharing(blank=0.2, plain=400)
    assert CHECKS["label-noise"](seen) is None


def test_leaked_images_are_no_neighbours_to_judge_by() -> None:
    seen = run(1.0, 0.95, near=NOISY)
    seen.sharing = Sharing(leaked=100, judged=400)
    assert CHECKS["label-noise"](seen) is None


def test_the_share_is_that_of_missing_agreement() -> None:
    finding = CHECKS["label-noise"](run(0.99, 0.85, near=NOISY))
    assert finding is not None
    assert finding.evidence[0].value == pytest.approx(1 - 0.65 / 0.8)


# Real runs.


def test_real_noisy_and_shuffled_labels_are_told_apart() -> None:
    images, targets = patterns(600, 0)
    val = Pictures(*patterns(300, 1))
    found = watched(Pictures(images, noisy(targets, 0.3)), val, steps=40)
    assert causes(found) == ["label-noise"]
    finding = CHECKS["label-noise"](found)
    assert finding is not None
    assert abs(finding.evidence[0].value - 0.3) < 0.08

    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    assert causes(watched(Pictures(images, targets[order]), val, steps=8)) == ["labels-shuffled"]


def test_real_shifted_classes_are_named() -> None:
    theirs, labels = patterns(200, 1)
    seen = watched(Pictures(*patterns(320, 0)), Pictures(theirs, (labels + 1) % CLASSES))
    assert causes(seen) == ["classes-shifted"]


def test_real_augmentation_that_hides_the_object_is_named() -> None:
    seen = watched(Pictures(*patterns(400, 0), hidden), Pictures(*patterns(200, 1)), steps=16)
    assert causes(seen)[0] == "augmentation-destroys-labels"
