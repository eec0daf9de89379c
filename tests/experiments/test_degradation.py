"""What the training errors of four networks come to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fathom.experiments.degradation import degradation
from fathom.models.registry import build_model
from tests.experiments.scaffold import results, setting


def cells(
    plain: Sequence[float], deep: Sequence[float], short: Sequence[float], cured: Sequence[float]
) -> dict[str, list[dict[str, object]]]:
    arms = {"plain 20": plain, "plain 56": deep, "residual 20": short, "residual 56": cured}
    return {
        name: [
            {
                "train_error": error,
                "test_error": error + 0.05,
                "train_loss": 1.0,
                "curve_steps": [1, 2],
                "curve_losses": [2.0, 1.0 + error],
            }
            for error in errors
        ]
        for name, errors in arms.items()
    }


LOW, HIGH = (0.20, 0.21, 0.22), (0.40, 0.41, 0.42)


@pytest.mark.parametrize(
    ("errors", "worse", "cured"),
    [
        ((LOW, HIGH, LOW, (0.10, 0.11, 0.12)), "demonstrated", "demonstrated"),
        ((LOW, HIGH, LOW, (0.19, 0.22, 0.21)), "demonstrated", "demonstrated"),
        ((LOW, HIGH, LOW, (0.25, 0.26, 0.27)), "demonstrated", "not-reproduced"),
        ((HIGH, LOW, LOW, LOW), "not-reproduced", "not-reproduced"),
        ((LOW, (0.1, 0.5, 0.3), LOW, LOW), "not-reproduced", "not-reproduced"),
        ((LOW[:2], HIGH[:2], LOW[:2], LOW[:2]), "not-reproduced", "not-reproduced"),
    ],
)
def test_the_verdicts_need_three_seeds_and_intervals_apart(
    errors: tuple[Sequence[float], ...], worse: str, cured: str
) -> None:
    found = degradation(setting()).findings(results(cells(*errors))).verdicts
    assert found["degradation.train_error"].verdict == worse
    assert found["degradation.residual_cures"].verdict == cured


def test_sentences_say_which_trains_worse_and_by_how_much() -> None:
    findings = degradation(setting()).findings(results(cells(LOW, HIGH, HIGH, LOW)))
    plain, residual, both = findings.sentences
    assert "Plain 56 ends with a training error of 41.0 %" in plain
    assert "+20.0 points" in plain
    assert plain.endswith("The deeper one trains worse.")
    assert residual.endswith("The deeper one trains better.")
    assert "-20.0 points with shortcuts, +20.0 without" in both
    one = degradation(setting()).findings(results(cells(*((e[0],) for e in (LOW, HIGH, LOW, LOW)))))
    assert one.sentences[0].endswith("One seed tells no spread.")


def test_the_arms_have_the_depths_that_they_are_called_by() -> None:
    for arm in degradation(setting()).arms:
        assert arm.recipe is not None
        model = build_model(arm.recipe.model.name, num_classes=10, **arm.recipe.model.spec)
        layers = sum(type(m).__name__ in ("Conv2d", "Linear") for m in model.modules())
        assert layers == arm.settings["depth"], "option A shortcuts have no weights"
