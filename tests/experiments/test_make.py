"""From what is asked for to a plan."""

from __future__ import annotations

import pytest

from fathom.errors import UserError
from fathom.experiments import EXPERIMENTS, make_plan, make_setting
from tests.experiments.scaffold import CIFAR, DIGITS, setting

UNTRAINED = next(name for name, known in EXPERIMENTS.items() if known.minutes is None)


def test_three_seeds_and_its_own_minutes_where_nothing_is_said() -> None:
    plan = make_plan("degradation", setting())
    assert (plan.seeds, plan.minutes, plan.steps, plan.images) == ((0, 1, 2), 15.0, None, None)
    assert make_plan("degradation", setting(), steps=7).minutes is None
    assert make_plan("degradation", setting(), minutes=2).minutes == 2


def test_what_trains_nothing_has_no_length() -> None:
    plan = make_plan(UNTRAINED, setting())
    assert (plan.minutes, plan.steps) == (None, None)
    quick = make_plan(UNTRAINED, setting(quick=True))
    assert (quick.steps, quick.images) == (None, None)


def test_quick_is_four_steps_of_two_seeds_on_few_images() -> None:
    plan = make_plan("degradation", setting(CIFAR, quick=True))
    assert (plan.seeds, plan.minutes, plan.steps, plan.images) == ((0, 1), None, 4, 200)
    assert make_plan("degradation", setting(quick=True), seeds=1, images=50).images == 50


def test_a_setting_looks_at_the_data() -> None:
    found = make_setting("digits", device="cpu")
    assert (found.summary.num_classes, found.summary.width) == (DIGITS.num_classes, DIGITS.width)
    with pytest.raises(UserError, match="did you mean 'digits'"):
        make_setting("digitz")


@pytest.mark.parametrize(
    ("name", "quick", "options", "message"),
    [
        ("degradatoin", False, {}, "did you mean 'degradation'"),
        ("degradation", False, {"minutes": 1.0, "steps": 2}, "give one of them"),
        ("degradation", True, {"steps": 2}, "leave out minutes and steps"),
        ("degradation", True, {"minutes": 1.0}, "leave out minutes and steps"),
        ("degradation", False, {"seeds": 0}, "seeds is 0"),
        (UNTRAINED, False, {"steps": 2}, "says itself what it trains"),
        (UNTRAINED, False, {"minutes": 2.0}, "says itself what it trains"),
        (UNTRAINED, False, {"images": 200}, "says itself what it trains"),
    ],
)
def test_settings_without_effect_are_refused(
    name: str, quick: bool, options: dict[str, float], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        make_plan(name, setting(quick=quick), **options)  # type: ignore[arg-type]


def test_weights_are_refused_where_none_are_used() -> None:
    looked = make_setting("digits", weights="lite0", device="cpu")
    with pytest.raises(UserError, match="weights have no effect on degradation"):
        make_plan("degradation", looked)
