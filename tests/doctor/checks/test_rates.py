import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from fathom.doctor.checks import rates
from fathom.doctor.observed import Look, Observed, Weights

from .made import CHANCE, Tiny, falls, look, made, stays, train


def with_line(update: float, **changes: object) -> list[Look]:
    def change(seen: Look) -> Look:
        weights = {n: Weights(w.gradient, w.norm, update * w.norm) for n, w in seen.weights.items()}
        return replace(seen, weights=weights, **changes)  # type: ignore[arg-type]

    return [change(look(step, 8)) for step in (1, 4, 16, 64)]


def bursts(step: int) -> float:
    return 50.0 if step == 3 else CHANCE


def ends(step: int) -> float:
    return CHANCE * math.exp(-min(step, 30) / 40)


TINY_STEPS = with_line(1e-5, line={"0": 2.0, "0.1": 2.0, "1": 1.999, "10": 1.99})
TOO_LONG = with_line(0.9, line={"0": 2.0, "0.1": 1.9, "1": 9.0, "10": 90.0})
PULLED = [look(1, 8, decay=0.15), look(64, 8, scale=0.01, decay=0.05)]


def early(step: int) -> float:
    return 0.1 if step <= 30 else 1e-5


SICK = {
    "learning-rate-too-high": [made(bursts), made(stays, looks=TOO_LONG)],
    "learning-rate-too-low": [made(lambda step: 1.6, looks=TINY_STEPS)],
    "schedule-ends-too-early": [made(ends, lr=early), made(stays, lr=early)],
    "weight-decay-too-strong": [made(stays, looks=PULLED)],
}


@pytest.mark.parametrize("cause", SICK)
def test_a_sick_run_is_named_with_evidence_that_speaks(cause: str) -> None:
    for seen in SICK[cause]:
        finding = rates.CHECKS[cause](seen)
        assert finding is not None
        assert finding.cause == cause
        assert any(evidence.speaks for evidence in finding.evidence[:2])
        assert finding.remedy.words
        assert finding.remedy.code


@pytest.mark.parametrize("cause", SICK)
def test_it_is_not_named_while_the_run_goes_on_or_where_it_went_well(cause: str) -> None:
    for seen in SICK[cause]:
        assert rates.CHECKS[cause](replace(seen, over=False)) is None
        curve = replace(seen.curve, loss=made(falls).curve.loss)
        assert rates.CHECKS[cause](replace(seen, curve=curve, exams=[])) is None


@pytest.mark.parametrize("cause", rates.CHECKS)
@pytest.mark.parametrize("loss", [falls, stays, lambda step: 0.4 * CHANCE])
def test_ordinary_steps_are_no_evidence(cause: str, loss: Callable[[int], float]) -> None:
    assert rates.CHECKS[cause](made(loss)) is None
    assert rates.CHECKS[cause](Observed()) is None


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        # Ten times the step helps, but steps are of usual size, as early in a run.
        ("learning-rate-too-low", made(stays, looks=with_line(0.005, line=TINY_STEPS[0].line))),
        # Steps are small because the schedule is at its end.
        (
            "learning-rate-too-low",
            made(stays, looks=[replace(one, lr=0.001) for one in TINY_STEPS]),
        ),
        # A cosine, and steps by tenths.
        (
            "schedule-ends-too-early",
            made(ends, lr=lambda step: 0.05 * (1 + math.cos(math.pi * step / 200))),
        ),
        ("schedule-ends-too-early", made(ends, lr=lambda step: 0.1 * 0.1 ** (step // 67))),
        # It had stopped falling before, where it had learnt most of it.
        ("schedule-ends-too-early", made(lambda step: 0.8, lr=early)),
        # A warm-up is before the peak.
        ("schedule-ends-too-early", made(ends, lr=lambda step: 0.1 if step > 150 else 1e-5)),
        ("weight-decay-too-strong", made(stays, looks=[look(1, 8, decay=5e-4)])),
        ("learning-rate-too-high", made(stays, looks=with_line(0.9))),
    ],
)
def test_look_alikes_pass(cause: str, seen: Observed) -> None:
    assert rates.CHECKS[cause](seen) is None


def test_what_explodes_before_any_step_is_not_the_rates_fault() -> None:
    seen = made(bursts)
    weights = {n: Weights(100 * w.norm, w.norm, w.update) for n, w in seen.looks[0].weights.items()}
    seen.looks[0] = replace(seen.looks[0], weights=weights)
    assert rates.learning_rate_too_high(seen) is None


def test_a_deep_network_without_norms_bursts_at_usual_rates() -> None:
    assert rates.learning_rate_too_high(made(bursts, count=20, norms=False)) is None


def test_a_run_that_diverged_is_named_at_its_step() -> None:
    seen = replace(made(bursts), diverged=5)
    finding = rates.learning_rate_too_high(seen)
    assert finding is not None
    assert finding.since == 5
    assert "step 5" in finding.says


def test_a_warm_up_from_nothing_does_not_turn_the_advice_round() -> None:
    """Its first step moves nothing: the rate is found from the next, or raised where none moves."""
    seen = made(lambda step: 1.6, looks=TINY_STEPS)
    seen.task.recipe = {"optimizer": {"lr": 0.1}}
    still = [with_line(0.0, lr=1e-9, line={})[0], *seen.looks[1:]]
    for looks, better in ((still, "5e+01"), (with_line(1e-9, line=TINY_STEPS[0].line), "1")):
        finding = rates.learning_rate_too_low(replace(seen, looks=looks))
        assert finding is not None
        assert finding.remedy.changes == {"optimizer.lr": better}


def test_a_long_first_step_does_not_lower_a_rate_that_is_too_low() -> None:
    """Gradients of the beginning may be far larger than those of all later steps."""
    seen = made(lambda step: 1.6, looks=[with_line(0.05, line={})[0], *TINY_STEPS[1:]])
    seen.task.recipe = {"optimizer": {"lr": 0.1}}
    finding = rates.learning_rate_too_low(seen)
    assert finding is not None
    assert finding.remedy.changes == {"optimizer.lr": "1"}


def test_remedies_change_the_recipe_by_its_paths() -> None:
    seen = SICK["learning-rate-too-low"][0]
    seen.task.recipe = {"optimizer": {"lr": 0.1, "weight_decay": 0.3}}
    finding = rates.learning_rate_too_low(seen)
    # A first step of 1e-5 of the weights at a rate of 0.1: one of 5e-3 needs a rate of 50.
    assert finding is not None
    assert finding.remedy.changes == {"optimizer.lr": "5e+01"}
    pulled = made(stays, looks=PULLED)
    pulled.task.recipe = seen.task.recipe
    finding = rates.weight_decay_too_strong(pulled)
    assert finding is not None
    assert finding.remedy.changes == {"optimizer.weight_decay": "0.001"}
    ended = made(ends, lr=early)
    ended.task.recipe = {"schedule": {"name": "step"}}
    finding = rates.schedule_ends_too_early(ended)
    assert finding is not None
    assert finding.remedy.changes == {"schedule": "cosine"}


def found(seen: Observed) -> list[str]:
    return [cause for cause, check in rates.CHECKS.items() if check(seen) is not None]


@pytest.mark.parametrize(
    ("options", "causes"),
    [
        ({}, []),
        ({"lr": 0.05, "schedule": lambda t: 0.5 * (1 + math.cos(math.pi * t))}, []),
        ({"lr": 1e-5}, ["learning-rate-too-low"]),
        ({"lr": 0.05, "wd": 1.0}, ["weight-decay-too-strong"]),
        ({"lr": 0.02, "schedule": lambda t: float(t < 0.15)}, ["schedule-ends-too-early"]),
    ],
)
def test_real_runs(options: dict[str, object], causes: list[str]) -> None:
    torch.manual_seed(0)
    assert found(train(Tiny(), **options)) == causes  # type: ignore[arg-type]


def test_a_real_run_that_diverges() -> None:
    torch.manual_seed(0)
    assert found(train(Tiny(norms=False), lr=50.0)) == ["learning-rate-too-high"]
