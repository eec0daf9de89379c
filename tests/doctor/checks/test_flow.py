import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from fathom.doctor.checks import flow
from fathom.doctor.observed import Look, Observed, Signals, Weights

from .made import CHANCE, Tiny, falls, look, made, stays, train


def looks(change: Callable[[Look], Look], count: int = 8) -> list[Look]:
    return [change(look(step, count)) for step in (1, 4, 16, 64)]


def scaled(scale: float) -> list[Look]:
    return [look(step, 8, scale=scale) for step in (1, 4)]


def with_gradients(first: float, last: float) -> list[Look]:
    """Relative gradients that grow evenly from the first layer to the last."""

    def change(seen: Look) -> Look:
        weights = {
            name: Weights(w.norm * first * (last / first) ** (place / 7), w.norm, w.update)
            for place, (name, w) in enumerate(seen.weights.items())
        }
        return replace(seen, weights=weights)

    return looks(change)


def with_dead(share: float) -> list[Look]:
    return looks(lambda s: replace(s, signals={n: Signals(dead=share) for n in s.signals}))


def late_by(share: float) -> Callable[[int], float]:
    """A loss that stays where guessing is for so much of 200 steps."""
    return lambda step: CHANCE if step <= 200 * share else 0.3 * CHANCE


def small_batch(images: int, *drifts: float) -> Observed:
    drift = {f"norm{number}": apart for number, apart in enumerate(drifts)}
    seen = made(falls, looks=looks(lambda s: replace(s, drift=drift)))
    seen.passes.least_images = images
    return seen


SICK = {
    "bad-initialisation": [
        made(stays, looks=scaled(0.0)),
        made(stays, looks=scaled(0.05)),
        made(stays, looks=scaled(20.0)),
    ],
    "exploding-gradients": [made(stays, looks=with_gradients(200, 200))],
    "vanishing-gradients": [made(stays, looks=with_gradients(1e-8, 0.5))],
    "dead-relus": [made(stays, looks=with_dead(1.0))],
    "missing-normalisation": [
        made(stays, count=20, norms=False),
        made(late_by(0.2), count=20, norms=False),
    ],
    "batch-too-small": [small_batch(2, 0.1), small_batch(2, 0.02, 0.02, 0.03, 0.09, 0.15)],
    "degradation": [made(lambda step: 1.0, count=56)],
}


@pytest.mark.parametrize("cause", SICK)
def test_a_sick_run_is_named_with_evidence_that_speaks(cause: str) -> None:
    for seen in SICK[cause]:
        finding = flow.CHECKS[cause](seen)
        assert finding is not None
        assert finding.cause == cause
        assert finding.evidence[0].speaks
        assert finding.remedy.words
        assert finding.remedy.code


def test_a_larger_batch_is_as_large_in_every_part() -> None:
    """Norms see a part of the batch where gradients are accumulated."""
    seen = small_batch(2, 0.1)
    for accumulate, size in ((1, "16"), (8, "128")):
        seen.task.recipe = {"batch_size": 16, "accumulate": accumulate}
        finding = flow.CHECKS["batch-too-small"](seen)
        assert finding is not None
        assert finding.remedy.changes == {"batch_size": size}


@pytest.mark.parametrize("cause", SICK)
def test_it_is_not_named_while_the_run_goes_on_or_where_it_went_well(cause: str) -> None:
    if cause == "batch-too-small":  # harm to what is learnt, not to the loss
        return
    for seen in SICK[cause]:
        assert flow.CHECKS[cause](replace(seen, over=False)) is None
        well = replace(seen, curve=made(falls).curve, exams=[])
        assert flow.CHECKS[cause](well) is None


@pytest.mark.parametrize("cause", flow.CHECKS)
@pytest.mark.parametrize("loss", [falls, stays, lambda step: 0.4 * CHANCE])
def test_ordinary_looks_are_no_evidence(cause: str, loss: Callable[[int], float]) -> None:
    assert flow.CHECKS[cause](made(loss)) is None
    assert flow.CHECKS[cause](Observed()) is None


@pytest.mark.parametrize(
    ("cause", "seen"),
    [
        ("bad-initialisation", made(stays, looks=scaled(0.3))),  # PyTorch's own is 0.4 of He's
        ("exploding-gradients", made(stays, looks=with_gradients(2, 2))),
        ("vanishing-gradients", made(stays, looks=with_gradients(0.02, 1.0))),
        ("vanishing-gradients", made(stays, looks=with_gradients(1e-30, 0.0))),
        ("dead-relus", made(stays, looks=with_dead(0.5))),
        ("missing-normalisation", made(stays, count=8, norms=False)),
        ("missing-normalisation", made(stays, count=20, norms=True)),
        ("missing-normalisation", made(late_by(0.06), count=20, norms=False)),
        ("batch-too-small", small_batch(16, 0.1)),
        ("batch-too-small", small_batch(2, 0.03)),
        ("degradation", made(lambda step: 1.0, count=20)),
    ],
)
def test_look_alikes_pass(cause: str, seen: Observed) -> None:
    assert flow.CHECKS[cause](seen) is None


def test_shortcuts_are_no_degradation() -> None:
    seen = made(lambda step: 1.0, count=56)
    seen.structure.shortest = 2
    assert flow.degradation(seen) is None


def test_weights_that_withered_are_not_called_dead() -> None:
    seen = made(stays, looks=with_dead(1.0))
    seen.looks[-1] = replace(
        seen.looks[-1],
        weights={n: Weights(0, w.norm / 100, 0) for n, w in seen.looks[0].weights.items()},
    )  # fmt: skip
    assert flow.dead_relus(seen) is None


def scale_weights(model: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.mul_(factor)
    return model


def found(seen: Observed) -> list[str]:
    return [cause for cause, check in flow.CHECKS.items() if check(seen) is not None]


def test_a_real_run_that_is_healthy() -> None:
    torch.manual_seed(0)
    assert found(train(Tiny())) == []
    assert found(train(Tiny(norms=False), lr=0.1, steps=100)) == []


def test_real_runs_that_are_sick() -> None:
    torch.manual_seed(0)
    assert "bad-initialisation" in found(train(scale_weights(Tiny(norms=False), 0.0), steps=20))
    assert "bad-initialisation" in found(train(scale_weights(Tiny(norms=False), 1e-3), steps=20))
    model = Tiny(norms=False)
    with torch.no_grad():
        for module in model.features:
            if isinstance(module, nn.Conv2d):
                assert module.bias is not None
                module.bias.fill_(-9.0)
    assert found(train(model, steps=20)) == ["dead-relus"]


def test_a_real_run_with_batches_of_two() -> None:
    torch.manual_seed(0)
    assert found(train(Tiny(), batch_size=2, lr=0.005, steps=60)) == ["batch-too-small"]


def test_the_chart_has_a_point_a_layer() -> None:
    finding = flow.exploding_gradients(SICK["exploding-gradients"][0])
    assert finding is not None
    assert finding.chart is not None
    assert list(finding.chart.series[0].x) == list(range(1, 9))
    assert finding.chart.series[0].y[0] == pytest.approx(200)
    assert math.isclose(finding.evidence[0].value, 200)
