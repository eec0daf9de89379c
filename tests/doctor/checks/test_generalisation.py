"""Training error decides: learning by heart, learning too little, and stopping too early."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from fathom.doctor import Observed
from fathom.doctor.checks.generalisation import CHECKS, _trend
from fathom.doctor.diagnose import diagnose
from fathom.doctor.observed import Curve, Exam

from .worlds import Pictures, patterns, watched

STEPS = 400


def run(
    train: float,
    val: float,
    loss: Callable[[float], float],
    *,
    epochs: int = 40,
    lr: Callable[[float], float] = lambda progress: 1 - progress,
    steps: float | None = None,
) -> Observed:
    """A run that ended with these accuracies, and this loss and rate by progress; steps: what steps
    named right, where that is not what was judged at the end."""
    seen = Observed(over=True)
    seen.task.num_classes, seen.task.steps_per_epoch = 10, STEPS // epochs
    for step in range(1, STEPS + 1):
        wave = 1 + 0.05 * math.sin(2.1 * step)
        seen.curve.add(step, wave * loss(step / STEPS), steps or train, lr((step - 1) / STEPS))
    seen.exams = [
        Exam(STEPS, "train", "result", loss(1.0), train, 512),
        Exam(STEPS, "val", "result", 0.5, val, 400),
    ]
    return seen


def falls(progress: float) -> float:
    return 2.3 * math.exp(-3 * progress)


def slowly(progress: float) -> float:
    return 2.3 * math.exp(-progress)


def level(progress: float) -> float:
    return 1.0 + math.exp(-20 * progress)


def steady(_progress: float) -> float:
    return 1.0


SICK: dict[str, Callable[[], Observed]] = {
    "overfitting": lambda: run(1.0, 0.87, falls),
    "underfitting": lambda: run(0.5, 0.48, level),
    "stopped-too-early": lambda: run(0.7, 0.68, slowly, lr=steady, epochs=4),
}
WELL: dict[str, Callable[[], Observed]] = {
    "as it is": lambda: run(1.0, 0.97, falls),
    "a gap as good networks have": lambda: run(1.0, 0.91, falls),
    "nothing is known": Observed,
    "few epochs, few images": lambda: run(1.0, 0.6, falls, epochs=8),
    "a short run that was planned": lambda: run(0.7, 0.68, falls, epochs=4),
    "a constant rate, learnt": lambda: run(0.99, 0.97, falls, lr=steady),
    "a constant rate, most of it learnt": lambda: run(0.87, 0.8, falls, lr=steady, epochs=10),
    "level for three epochs": lambda: run(0.2, 0.2, lambda p: 2.3 - 0.1 * p, lr=steady, epochs=10),
    "nothing learnt": lambda: run(0.1, 0.1, lambda progress: 2.3),
    "level but learnt": lambda: run(0.9, 0.88, level),
    "hard, with a gap": lambda: run(0.65, 0.5, level),
}


@pytest.mark.parametrize("cause", SICK)
def test_a_sick_run_is_named_and_nothing_else(cause: str) -> None:
    assert [name for name, check in CHECKS.items() if check(SICK[cause]())] == [cause]
    finding = CHECKS[cause](SICK[cause]())
    assert finding is not None
    assert finding.evidence
    assert all(evidence.speaks for evidence in finding.evidence)
    assert finding.remedy.words
    assert finding.rejected
    assert finding.chart is not None


def test_a_deep_network_that_has_just_begun_was_stopped_too_early() -> None:
    beginning = run(0.1, 0.1, lambda progress: 2.3 - 0.3 * progress**2, lr=steady, epochs=2)
    assert [finding.cause for finding in diagnose(beginning)] == ["stopped-too-early"]


@pytest.mark.parametrize("name", WELL)
def test_a_healthy_run_has_no_finding(name: str) -> None:
    assert [cause for cause, check in CHECKS.items() if check(WELL[name]())] == []


def test_a_run_that_diverged_or_is_not_over_is_not_judged() -> None:
    for made in SICK.values():
        diverged, going = made(), made()
        diverged.diverged, going.over = 17, False
        assert not any(check(diverged) or check(going) for check in CHECKS.values())


def test_a_trend_is_that_of_least_squares() -> None:
    seen = Observed(curve=Curve())
    source = torch.Generator().manual_seed(0)
    losses = torch.linspace(2, 1, 64) + 0.1 * torch.randn(64, generator=source)
    for step, loss in enumerate(losses.tolist()):
        seen.curve.add(step, loss, None, 0.1)
    late = losses[32:].double()
    design = torch.stack([torch.ones(32), torch.linspace(0, 1, 32)], 1).double()
    start, slope = torch.linalg.lstsq(design, late[:, None]).solution[:, 0].tolist()
    left = late - design @ torch.tensor([start, slope]).double()
    errors = (left.square().sum() / 30 * torch.linalg.inv(design.T @ design)).diagonal().sqrt()
    found = _trend(seen)
    assert found is not None
    assert found[0] == pytest.approx(-slope / start)
    assert found[1] == pytest.approx(float(errors[1]) / start)


def test_three_times_the_recipes_own_length() -> None:
    seen = SICK["stopped-too-early"]()
    seen.task.recipe = {"epochs": None, "steps": 200, "minutes": None}
    finding = CHECKS["stopped-too-early"](seen)
    assert finding is not None
    assert finding.remedy.changes == {"steps": "600"}


def test_a_real_run_on_few_images_is_overfitted_and_one_on_many_is_not() -> None:
    def crowd(count: int, seed: int) -> Pictures:
        images, targets = patterns(count, seed)
        return Pictures(images + 2 * torch.randn(images.shape, generator=_seeded(seed)), targets)

    sick = watched(crowd(40, 0), crowd(200, 1), steps=80)
    assert CHECKS["overfitting"](sick) is not None
    well = watched(crowd(640, 0), crowd(200, 1), steps=60)
    assert CHECKS["overfitting"](well) is None


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(77 + seed)


def test_a_run_of_no_use_on_new_images_is_never_healthy() -> None:
    """Too short to be learnt by heart, and nothing else is known."""
    short = run(1.0, 0.1, lambda progress: math.exp(-5 * progress), epochs=10)
    assert [finding.cause for finding in diagnose(short)] == ["little-carries-over"]
    long = run(1.0, 0.1, lambda progress: math.exp(-5 * progress), epochs=40)
    assert [finding.cause for finding in diagnose(long)] == ["overfitting"]
    evaluated_otherwise = run(0.1, 0.1, lambda progress: math.exp(-5 * progress), steps=1.0)
    assert [finding.cause for finding in diagnose(evaluated_otherwise)] == ["little-carries-over"]


@pytest.mark.parametrize(("train", "val"), [(0.9, 0.6), (0.15, 0.05), (0.6, 0.27)])
def test_half_as_good_is_as_little_as_passes(train: float, val: float) -> None:
    seen = run(train, val, lambda progress: math.exp(-progress), epochs=10)
    assert CHECKS["little-carries-over"](seen) is None


def test_epochs_of_a_loader_that_does_not_tell_its_size_are_not_made_up() -> None:
    """What was counted is a sample, and tells nothing of how often each image was seen."""
    seen = run(1.0, 0.87, falls)
    seen.task.steps_per_epoch, seen.task.batch_size, seen.task.counts = 0, 256, [100] * 10
    assert CHECKS["overfitting"](seen) is None
