"""The drift of layer inputs: its formula, and each verdict."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.experiments.covariate_shift import (
    _findings,
    covariate_shift,
    drift,
    growth,
    layer_inputs,
    looked_at,
)
from fathom.experiments.nouns import Values
from fathom.models.registry import build_model

from .scaffold import results, setting


def test_inputs_are_those_of_all_convolutions_but_the_first() -> None:
    torch.manual_seed(0)
    spec = {"depths": [1], "widths": [4], "residual": False}
    model = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec)
    model.train()(torch.randn(4, 1, 8, 8))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(6, 1, 8, 8)
    found = layer_inputs(model.eval(), images)
    assert not model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    first = model.train().stem(images)
    block = model.stages[0][0]  # type: ignore[index]
    second = block.branch[2](block.branch[1](block.branch[0](first)))
    assert len(found) == 2
    for (mean, deviation), maps in zip(found, (first, second), strict=True):
        for channel in range(4):
            values = maps[:, channel].flatten().tolist()
            middle = sum(values) / len(values)
            variance = sum((v - middle) ** 2 for v in values) / len(values)
            assert float(mean[channel]) == pytest.approx(middle, abs=1e-5)
            assert float(deviation[channel]) == pytest.approx(variance**0.5, abs=1e-5)


numbers = st.floats(-5, 5)
spreads = st.floats(0.1, 5)
channels = st.lists(st.tuples(numbers, spreads, numbers, spreads), min_size=1, max_size=4)


@given(channels)
@settings(deadline=None, derandomize=True, database=None, max_examples=50)
def test_drift_is_the_distance_of_normals_in_spreads(rows: list[tuple[float, ...]]) -> None:
    mean, deviation, new_mean, new_deviation = torch.tensor(rows, dtype=torch.float64).T
    distances = [(m - n) ** 2 + (s - t) ** 2 for m, s, n, t in rows]
    spread = (sum(s**2 for _, s, _, _ in rows) / len(rows)) ** 0.5
    wanted = (sum(distances) / len(rows)) ** 0.5 / spread
    before, after = [(mean, deviation)], [(new_mean, new_deviation)]
    assert drift(before, after) == pytest.approx([wanted])
    assert drift(before, before) == [0]
    scaled = drift([(3 * mean, 3 * deviation)], [(3 * new_mean, 3 * new_deviation)])
    assert scaled == pytest.approx([wanted])


def test_growth_is_that_of_the_spread() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    assert growth([(zero, one), (zero, one)], [(one, 8 * one), (one, 2 * one)]) == pytest.approx(4)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 21, 22, 1000])
def test_looks_lie_within_the_training_and_reach_both_ends(steps: int) -> None:
    looks = looked_at(steps)
    assert len(set(looks)) == len(looks) == min(20, steps - 1)
    if looks:
        assert looks[0] == 1
    if steps > 2:
        assert looks[-1] == steps - 1


def test_both_arms_are_plain_and_differ_in_their_norm_alone() -> None:
    arms = covariate_shift(setting()).arms
    specs = [arm.recipe.model.spec for arm in arms if arm.recipe is not None]
    assert [spec.pop("norm") for spec in specs] == ["none", "batch"]
    assert specs[0] == specs[1]
    torch.manual_seed(0)
    nets = [build_model("cifar_resnet20", **specs[0], norm=n) for n in ("none", "batch")]
    convolutions = [[m for m in net.modules() if isinstance(m, nn.Conv2d)] for net in nets]
    assert len(convolutions[0]) == len(convolutions[1]) == 7


def values(whole: float | None, step: float = 0.1) -> Values:
    return {
        "train_error": 0.1,
        "steps": [2, 4],
        "in_a_step": [step, step],
        "since_start": [step, whole],
        "layers": [whole, whole],
        "growth": 2.0,
        "whole": whole,
        "step": step,
    }


def judged(without: list[float | None], normed: list[float | None]) -> tuple[str, str]:
    found = _findings(
        results({"no norm": [*map(values, without)], "batch norm": [*map(values, normed)]})
    )
    verdict = found.verdicts["bn.covariate_shift"]
    return verdict.verdict, f"{verdict.explanation} {' '.join(found.sentences)}"


def test_the_claim_is_shown_where_only_the_bare_inputs_drift() -> None:
    verdict, said = judged([5, 6, 7], [0.1, 0.2, 0.3])
    assert verdict == "demonstrated"
    assert "Batch norm holds them better" in said
    assert "disputed" in said


@pytest.mark.parametrize(
    ("without", "normed", "said"),
    [
        ([5, 6], [0.1, 0.2], ""),
        ([5, 6, 7], [5, 6, 7], "show no difference"),
        ([0.1, 0.2, 0.3], [5, 6, 7], "contradicts the story"),
        ([9.0, 9.1, 9.2], [2.0, 2.1, 2.2], "do not stay put"),
        ([5, None, 7], [0.1, 0.2, 0.3], "broke off"),
    ],
)
def test_the_claim_is_not_shown_otherwise(
    without: list[float | None], normed: list[float | None], said: str
) -> None:
    verdict, told = judged(without, normed)
    assert verdict == "not-reproduced"
    assert said in told
