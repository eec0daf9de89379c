"""ReLU against tanh: the count of steps, the swap, and the verdict both ways."""

from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.experiments import Arm, Experiment, Findings, Setting, run
from fathom.experiments.nouns import Values
from fathom.experiments.relu_tanh import (
    CLAIM,
    first_at,
    relu_tanh,
    running_mean,
    use_tanh,
)
from fathom.models.registry import build_model
from tests.experiments import small
from tests.experiments.scaffold import CIFAR, results, setting

SETTINGS = settings(deadline=None, derandomize=True, database=None)
errors = st.lists(st.floats(0, 1), min_size=1, max_size=30)


@SETTINGS
@given(errors, st.floats(0, 1))
def test_steps_are_counted_as_by_hand(values: list[float], target: float) -> None:
    means = []
    for step in range(len(values)):
        total = [values[earlier] for earlier in range(step + 1) if step - earlier < 10]
        means.append(sum(total) / len(total))
    assert running_mean(values) == pytest.approx(means)
    below = [step for step, mean in enumerate(means, 1) if mean <= target]
    assert first_at(means, target) == (below[0] if below else None)
    assert fmean(values[-10:]) == pytest.approx(running_mean(values)[-1])


def test_tanh_takes_every_place_and_four_layers_have_weights() -> None:
    arms = relu_tanh(setting(CIFAR)).arms
    assert [arm.prepare for arm in arms] == [None] * 3 + [use_tanh] * 3
    recipe = arms[0].recipe
    assert recipe is not None
    model = build_model(recipe.model.name, num_classes=10, in_channels=3, **recipe.model.spec)
    kinds = [type(module) for module in model.modules()]
    assert sum(kind in (nn.Conv2d, nn.Linear) for kind in kinds) == 4
    use_tanh(model)
    after = [type(module) for module in model.modules()]
    assert kinds.count(nn.ReLU) == after.count(nn.Tanh) == 3
    assert nn.ReLU not in after


def test_an_arm_prepares_its_network_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapped(asked: Setting) -> Experiment:
        plain = small.experiment(asked)
        arms = [
            Arm(arm.name, arm.recipe, {}, use_tanh if arm.name == "slow" else None)
            for arm in plain.arms
        ]
        return Experiment(plain.title, plain.expected, arms, measure, findings)

    def measure(cell: object) -> Values:
        model = cell.model  # type: ignore[attr-defined]
        return {"tanh": sum(isinstance(module, nn.Tanh) for module in model.modules())}

    def findings(found: object) -> Findings:
        return Findings((), ())

    monkeypatch.setattr("fathom.experiments.session.function_of", lambda name: swapped)
    done = small.last(list(run(small.plan(seeds=(0,)), tmp_path / "out")))
    assert done.results.values("slow", "tanh") == [7]
    assert done.results.values("fast arm", "tanh") == [0]


def told(relu: list[int], tanh: list[int], limit: int = 1000) -> Findings:
    """Findings of these steps at the middle rate; the other two need a hundred more."""
    cells = {}
    for name, steps in (("relu", relu), ("tanh", tanh)):
        for rate, more in ((0.01, 100), (0.03, 0), (0.1, 100)):
            cells[f"{name} {rate}"] = [
                {
                    "steps": min(step + more, limit),
                    "reached": step + more < limit,
                    "curve_steps": [1, 2],
                    "curve": [0.9, 0.2],
                }
                for step in steps
            ]
    return relu_tanh(setting()).findings(results(cells))


@pytest.mark.parametrize(
    ("relu", "tanh", "verdict", "words"),
    [
        ([100, 102, 98], [200, 202, 204], "demonstrated", "a factor below the 6"),
        ([100, 102, 98], [800, 802, 804], "demonstrated", "a factor above the 6"),
        ([100, 102, 98], [590, 600, 610], "demonstrated", "factor of 6 is in the interval"),
        ([100, 102, 98], [1000, 1000, 1000], "demonstrated", "at least 10.0 times"),
        ([200, 202, 204], [100, 102, 98], "not-reproduced", "tanh is sooner, against the source"),
        ([100, 150, 200], [150, 200, 250], "not-reproduced", "overlap, so no difference is shown"),
        ([100, 102], [800, 802], "not-reproduced", "a factor above the 6"),
        ([100, 102, 1000], [800, 802, 804], "not-reproduced", "nothing can be said of a factor"),
    ],
)
def test_each_verdict(relu: list[int], tanh: list[int], verdict: str, words: str) -> None:
    found = told(relu, tanh)
    assert found.verdicts[CLAIM].verdict == verdict
    assert words in found.sentences[-1]
    assert ("factor" in found.verdicts[CLAIM].computed) == (1000 not in relu)


def test_the_best_rate_counts_and_an_end_of_the_rates_is_named() -> None:
    assert "at a rate of 0.03, after 100 steps" in told([100] * 3, [200] * 3).sentences[0]
    cells = {
        f"{name} {rate}": [
            {"steps": steps, "reached": True, "curve_steps": [1], "curve": [0.2]}
        ] * 3
        for name in ("relu", "tanh")
        for rate, steps in ((0.01, 50), (0.1, 40 if name == "relu" else 60))
    }  # fmt: skip
    relu, tanh, _ = relu_tanh(setting()).findings(results(cells)).sentences
    assert "the largest rate tried, so a larger one" in relu
    assert "the smallest rate tried, so a smaller one" in tanh
    never = told([1000] * 3, [1000] * 3).sentences
    assert never[0] == "ReLU did not reach 25 % training error in 1,000 steps at any rate."
