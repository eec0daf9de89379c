"""Pace on a clock that the test turns."""

import pytest

from fathom.training import pace as module
from fathom.training.pace import Pace


class Clock:
    """A clock that only moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(module, "time", turned)
    return turned


def test_by_steps_progress_is_the_middle_of_the_step() -> None:
    pace = Pace(total_steps=4, minutes=None, started=0, images_judged=1, batch_size=1)
    assert [pace.progress(s) for s in range(4)] == [0.125, 0.375, 0.625, 0.875]
    assert [pace.over(s) for s in range(6)] == [False] * 4 + [True] * 2


def test_the_steps_to_come_are_counted_or_follow_from_the_pace(clock: Clock) -> None:
    counted = Pace(total_steps=4, minutes=None, started=0, images_judged=1, batch_size=1)
    assert counted.expected_steps(3) == 4
    timed = Pace(total_steps=None, minutes=10.0, started=clock.now, images_judged=1, batch_size=1)
    for _ in range(5):
        clock.now += 2.0
        timed.stepped(2.0)
    assert timed.expected_steps(5) == 5 + int((600 - 1.5 - 10) / 2)
    clock.now += 1000
    assert timed.expected_steps(5) == 5


@pytest.mark.parametrize("minutes", [0.2, 1.0, 20.0])
@pytest.mark.parametrize("step_seconds", [0.005, 0.35])
@pytest.mark.parametrize("images", [300, 10_000])
@pytest.mark.parametrize("startup", [2.0, 8.0])
def test_by_minutes_the_run_ends_annealed_within_five_percent(
    clock: Clock, minutes: float, step_seconds: float, images: int, startup: float
) -> None:
    """Evaluation takes 0.3 of a training step an image; finishing takes another second."""
    pace = Pace(
        total_steps=None, minutes=minutes, started=clock.now, images_judged=images, batch_size=128
    )
    evaluation = 0.3 * step_seconds * images / 128
    clock.now += startup
    step, progress = 0, 0.0
    while not pace.over(step):
        assert progress <= pace.progress(step) + 0.05, "progress must not fall back by much"
        progress = pace.progress(step)
        clock.now += step_seconds
        pace.stepped(step_seconds)
        step += 1
        if pace.wants_estimate(step):
            pace.estimate_evaluation(0.3 * step_seconds / 128)
        if step % 50 == 0 and pace.may_evaluate():
            clock.now += evaluation
            pace.evaluated(evaluation, images)
    clock.now += evaluation + min(1.0, 0.03 * 60 * minutes)
    budget = 60 * minutes
    if startup + evaluation + 2 * step_seconds + 1 < budget:
        assert pace.seconds() == pytest.approx(budget, rel=0.05)
        assert progress > 1 - 3 * step_seconds / (budget - startup - evaluation) - 0.02


def test_looks_at_few_images_do_not_hide_what_judging_many_will_take(clock: Clock) -> None:
    pace = Pace(total_steps=None, minutes=1, started=clock.now, images_judged=600, batch_size=8)
    pace.evaluated(0.5, 20)
    clock.now += 30
    pace.stepped(0.1)
    assert pace.may_evaluate(), "another look at the few takes half a second"
    assert not pace.over(1)
    clock.now += 13.4
    assert not pace.over(2)
    clock.now += 0.2
    assert pace.over(3), "judging takes 15 s, finishing 1.5 s"


def test_a_resumed_run_has_what_is_left(clock: Clock) -> None:
    pace = Pace(
        total_steps=None,
        minutes=1,
        started=clock.now,
        before=50,
        images_judged=1,
        batch_size=1,
    )
    pace.stepped(0.1)
    assert pace.seconds_left(5) == pytest.approx(10)
    assert not pace.over(5)
    clock.now += 9.5
    assert pace.over(6)
