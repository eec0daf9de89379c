import math
from dataclasses import replace

import pytest

from fathom.doctor.checks import outcome
from fathom.doctor.observed import Exam, Observed

from .made import CHANCE, falls, look, made, stays


def test_the_end_is_the_better_of_exam_and_steps() -> None:
    seen = made(lambda step: 1.5)
    seen.exams = [Exam(200, "train", "result", 0.2, 0.99, 512)]
    assert outcome.end_loss(seen) == 0.2  # steps see mixed images
    seen.exams = [Exam(200, "train", "result", 4.0, 0.1, 512)]
    assert outcome.end_loss(seen) == 1.5  # the exam sees an average
    seen.exams = []
    seen.curve.loss[-25:] = [1.0] * 25
    assert outcome.end_loss(seen) == 1.0


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "focal"])
def test_steps_by_another_loss_are_not_held_against_that_of_guessing(loss: str) -> None:
    seen = made(lambda step: 0.1 * CHANCE)
    seen.task.recipe = {"loss": {"name": loss}}
    seen.exams = [Exam(200, "train", "result", CHANCE, 0.1, 512)]
    assert outcome.end_loss(seen) == CHANCE
    assert outcome.nothing_learnt(seen)
    seen.exams = []
    assert math.isnan(outcome.end_loss(seen))
    seen.task.recipe = {"loss": {"name": "cross_entropy"}}
    assert outcome.end_loss(seen) == pytest.approx(0.1 * CHANCE)


def test_what_is_not_known_is_neither_poor_nor_good() -> None:
    assert math.isnan(outcome.end_loss(Observed()))
    assert math.isnan(outcome.chance(Observed()))
    assert not outcome.poor(Observed())
    assert not outcome.nothing_learnt(Observed())
    assert outcome.last_exam(Observed(), "train") is None
    assert outcome.loss_chart(Observed(), "") is None


def test_poor_and_nothing_learnt() -> None:
    for share, poor, nothing in ((0.4, False, False), (0.6, True, False), (0.95, True, True)):
        seen = made(lambda step, share=share: share * CHANCE)  # type: ignore[misc]
        assert (outcome.poor(seen), outcome.nothing_learnt(seen)) == (poor, nothing)
    seen = replace(made(falls), diverged=7)
    assert outcome.nothing_learnt(seen)
    assert "step 7" in outcome.ended(seen)
    assert outcome.outcome(made(stays)).speaks
    assert not outcome.outcome(made(falls)).speaks


def test_the_last_exam_counts() -> None:
    seen = made(falls)
    seen.exams.append(Exam(50, "train", "result", 9.0, 0.0, 512))
    last = outcome.last_exam(seen, "train")
    assert last is not None
    assert last.step == 200


def test_layers_and_their_steps() -> None:
    seen = made(falls, norms=False)
    assert outcome.normless(seen)
    assert not outcome.normless(made(falls))
    assert outcome.relative_update(seen, look(1, 8)) == pytest.approx(0.005)
    assert next(iter(outcome.inner_signals(seen, look(1, 8)))) == "conv1"
    seen.structure.layers[0].trainable = False
    assert len(outcome.trained_weights(seen, look(1, 8))) == 7


def test_only_what_the_recipe_knows_is_changed() -> None:
    seen = made(falls)
    assert outcome.in_recipe(seen, "optimizer.lr", "0.1") == {}
    seen.task.recipe = {"optimizer": {"lr": 1.0}, "ema": None}
    assert outcome.in_recipe(seen, "optimizer.lr", "0.1") == {"optimizer.lr": "0.1"}
    assert outcome.in_recipe(seen, "optimizer.momentum", "0.1") == {}
    assert outcome.in_recipe(seen, "ema.decay", "0.1") == {}


def test_the_chart_shows_loss_and_rate_over_their_largest() -> None:
    chart = outcome.loss_chart(made(falls), "A title")
    assert chart is not None
    assert [max(series.y) for series in chart.series] == [1.0, 1.0]
