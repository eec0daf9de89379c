"""The pace of a run: how far it is, when it ends, and when there is time to evaluate.

By epochs, progress counts steps. By minutes, progress is measured time over the time there is, less
what the last evaluation will take, so that the schedule is annealed when the budget ends.
"""

from __future__ import annotations

import time

_EVALUATION_SHARE = 0.1  # of the time so far: a run by minutes spends no more on looking
_FINISH_SECONDS = 1.5  # writing the last checkpoint, the results and the report


class Pace:
    """Progress of one run; `before` is what earlier sessions of a resumed run took, in seconds."""

    def __init__(
        self,
        *,
        total_steps: int | None,
        minutes: float | None,
        started: float,
        before: float = 0.0,
        images_judged: int,
        batch_size: int,
    ) -> None:
        self._total_steps = total_steps
        self._budget = None if minutes is None else minutes * 60
        self._started = started
        self._before = before
        self._images = images_judged
        self._batch_size = batch_size
        self._step_seconds = 0.0
        self._looked = 0.0
        self._look_seconds = 0.0
        self._evaluation_seconds = 0.0

    def seconds(self) -> float:
        """Time since the start of the run, all sessions together."""
        return self._before + time.monotonic() - self._started

    def stepped(self, seconds: float) -> None:
        """Take note of how long a step took."""
        weight = 0.1 if self._step_seconds else 1.0
        self._step_seconds += weight * (seconds - self._step_seconds)

    def evaluated(self, seconds: float, images: int) -> None:
        """Take note of how long an evaluation of so many images took."""
        self._looked += seconds
        self._look_seconds = seconds
        self.estimate_evaluation(seconds / images)

    @property
    def images_per_second(self) -> float:
        """Training throughput of late."""
        return self._batch_size / self._step_seconds if self._step_seconds else 0.0

    def wants_estimate(self, step: int) -> bool:
        """Whether the cost of an evaluation is still unknown to a run that has to end on time."""
        return self._budget is not None and step >= 3 and not self._evaluation_seconds

    def estimate_evaluation(self, seconds_per_image: float) -> None:
        """Take note of what evaluation costs; at the end more images may be judged than before."""
        self._evaluation_seconds = seconds_per_image * self._images

    def _training_budget(self) -> float:
        assert self._budget is not None
        finish = min(_FINISH_SECONDS, 0.04 * self._budget)
        return max(self._budget - self._evaluation_seconds - finish, 1e-3)

    def progress(self, step: int) -> float:
        """How far the coming step lies in the run, in the middle of the step: 0 to 1."""
        if self._total_steps is not None:
            return (step + 0.5) / self._total_steps
        return min(1.0, (self.seconds() + self._step_seconds / 2) / self._training_budget())

    def over(self, step: int) -> bool:
        """Whether `step` steps are all there will be."""
        if self._total_steps is not None:
            return step >= self._total_steps
        return step > 0 and self.seconds() + self._step_seconds / 2 >= self._training_budget()

    def expected_steps(self, step: int) -> int:
        """Steps of the whole run; by the pace of late, after the first step, where time decides."""
        if self._total_steps is not None:
            return self._total_steps
        left = max(0.0, self._training_budget() - self.seconds())
        return step + int(left / self._step_seconds)

    def may_evaluate(self) -> bool:
        """Whether an evaluation between epochs is affordable; always, in a run by epochs."""
        if self._total_steps is not None:
            return True
        cost, now = self._look_seconds or self._evaluation_seconds, self.seconds()
        soon_over = now + 3 * cost > self._training_budget()
        return not soon_over and self._looked + cost <= _EVALUATION_SHARE * (now + cost)

    def seconds_left(self, step: int) -> float:
        """An estimate of the time to the end of the run."""
        if self._total_steps is None:
            assert self._budget is not None
            return max(0.0, self._budget - self.seconds())
        return (self._total_steps - step) * self._step_seconds
