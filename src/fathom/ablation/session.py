"""From a plan to a stream of records: `ablate` and `resume`.

Every run is a process of its own, so many at a time as the plan has jobs. Leaving the stream stops
the processes, which save a checkpoint each; `resume` goes on from there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from statistics import fmean
from typing import Any

from fathom.ablation.calibrate import Measured, timings
from fathom.ablation.plan import Arm, Plan, Timing, versions
from fathom.ablation.results import Results, Status, run_folder, status, write_results
from fathom.errors import UserError
from fathom.training.run import Run, refuse_used

_QUIET = 0.8  # part of the time on a core from which a machine counts as quiet
_PATIENCE = 60.0  # seconds that a process has to save its checkpoint when it is asked to stop


@dataclass(frozen=True)
class Calibrating:
    """One arm's step has been timed against the base's; the last record has the steps of all."""

    arm: str
    ratio: float
    done: int
    planned: int


@dataclass(frozen=True)
class Stepping:
    """A run has started, gone on, or taken some more steps.

    share is the part of all planned steps that is done, seconds_left an estimate for all runs; None
    in the beginning.
    """

    arm: str
    seed: int
    step: int
    steps: int
    share: float
    seconds_left: float | None


@dataclass(frozen=True)
class Ended:
    """A run has finished or diverged, and the results are stored; failed ones say why."""

    arm: str
    seed: int
    run: Path
    status: Status
    reason: str | None
    results: Results


@dataclass(frozen=True)
class Finished:
    """All runs have ended."""

    folder: Path
    results: Results


Record = Calibrating | Stepping | Ended | Finished


def ablate(plan: Plan, out: str | Path) -> Generator[Record, None, None]:
    """Measure, train and compare as the plan says, in a new folder, and yield how far it is.

    Raises UserError for a folder in use, for data or recipes that cannot be used, and in the end
    for runs that could not be trained. Runs that diverge are results.
    """
    folder = Path(out)
    refuse_used(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plan.write(folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose --out") from error
    yield from resume(folder)


def resume(out: str | Path) -> Generator[Record, None, None]:
    """Go on with an ablation: skip what has ended, resume what broke off, start what is missing.

    Raises UserError as `ablate` does, and for a folder that holds no ablation.
    """
    folder = Path(out)
    plan = _noting_versions(folder, Plan.read(folder))
    if not plan.calibrated:
        plan = yield from _calibrate(folder, plan)
    for arm in plan.arms:
        plan.length(arm)  # a budget too small for one arm is refused before the first is trained
    failed = yield from _train(folder, plan)
    if failed:
        raise UserError(
            f"{len(failed)} of {len(plan.runs())} runs could not be trained: "
            f"{'; '.join(failed)}. Mend the cause and go on with --resume {folder}"
        )
    yield Finished(folder, write_results(folder, plan))


def _noting_versions(folder: Path, plan: Plan) -> Plan:
    """The plan, stored anew with a note where its runs are not all made with the same versions."""
    now = versions()
    changed = [name for name in now if now[name] != plan.made_with[name]]
    if not changed:
        return plan
    moves = ", ".join(f"{name} {plan.made_with[name]} to {now[name]}" for name in changed)
    note = f"gone on with other versions than it was begun with: {moves}; runs are not all alike"
    if note not in plan.notes:
        plan = replace(plan, notes=(*plan.notes, note))
        plan.write(folder)
    return plan


def _calibrate(folder: Path, plan: Plan) -> Generator[Record, None, Plan]:
    """The plan with the time of each arm's step, stored."""
    found: list[Measured] = []
    machine: dict[str, Any] | None = None
    with _Workers(folder, plan.threads) as workers:
        workers.start("calibration", "calibrate", str(folder))
        for _, line in workers.lines():
            if line["kind"] == "failed":
                raise UserError(line["reason"])
            if line["kind"] == "environment":
                machine = line["environment"]
            elif line["kind"] == "measured":
                turns = tuple((mine, theirs) for mine, theirs in line["turns"])
                found.append(Measured(line["arm"], turns, line["on_core"]))
                ratio = timings(plan.base.name, found)[line["arm"]].ratio
                yield Calibrating(line["arm"], ratio, len(found), len(plan.arms) - 1)
    times: dict[str, Timing] = timings(plan.base.name, found)
    notes = (*plan.notes, *_busy(found))
    plan = replace(plan, timings=times, environment=machine, notes=notes)
    plan.write(folder)
    return plan


def _busy(measured: Sequence[Measured]) -> Iterator[str]:
    """Say so where steps were timed on a machine that had other things to do."""
    shares = [m.on_core for m in measured if m.on_core is not None]
    if shares and fmean(shares) < _QUIET:
        yield (
            f"the machine was busy while steps were timed: the process had a core for "
            f"{fmean(shares):.0%} of the time, so the runs have fewer steps than a quiet machine "
            "would take in these minutes"
        )


def _train(folder: Path, plan: Plan) -> Generator[Record, None, list[str]]:
    """Train every run that has not ended; what could not be trained, and why."""
    failed: list[str] = []
    waiting = deque(
        (arm, seed)
        for arm, seed in plan.runs()
        if status(run_folder(folder, arm.name, seed)) == "unfinished"
    )
    progress = _Progress(len(plan.runs()), len(waiting))
    running: dict[str, tuple[Arm, int]] = {}
    reasons: dict[str, str] = {}
    with _Workers(folder, plan.threads) as workers:

        def fill() -> None:
            while waiting and len(running) < plan.jobs:
                arm, seed = waiting.popleft()
                name = run_folder(folder, arm.name, seed).name
                running[name] = arm, seed
                workers.start(name, "train", str(folder), arm.name, str(seed))

        fill()
        for name, line in workers.lines():
            arm, seed = running[name]
            if line["kind"] == "steps":
                progress.take(name, line["step"], line["steps"])
                yield Stepping(arm.name, seed, line["step"], line["steps"], *progress.now())
            elif line["kind"] == "failed":
                reasons[name] = line["reason"]
            else:
                progress.end(name)
                del running[name]
                fill()
                state = status(folder / name)
                plan = _with_environment(plan, folder, name)
                if state == "unfinished":
                    failed.append(f"{name}: {reasons.get(name, 'its process broke off')}")
                results = write_results(folder, plan)
                yield Ended(arm.name, seed, folder / name, state, reasons.get(name), results)
    return failed


def _with_environment(plan: Plan, folder: Path, name: str) -> Plan:
    """The plan, stored anew with the machine of a run, where it does not know its machine yet."""
    run = Run(folder / name)
    if plan.environment is None and run.has("environment"):
        plan = replace(plan, environment=run.read("environment"))
        plan.write(folder)
    return plan


class _Progress:
    """How much of all runs is done, and how long the rest will take at the pace so far."""

    def __init__(self, planned: int, left: int) -> None:
        self._planned, self._ended = planned, planned - left
        self._shares: dict[str, float] = {}
        self._begun: dict[str, float] = {}
        self._gained = 0.0
        self._start = time.monotonic()

    def take(self, name: str, step: int, steps: int) -> None:
        """Take note of the step that a run has reached."""
        self._begun.setdefault(name, step / steps)
        self._shares[name] = step / steps

    def end(self, name: str) -> None:
        """Take note of a run that is over, however it ended."""
        self._gained += 1 - self._begun.pop(name, 0.0)
        self._shares.pop(name, None)
        self._ended += 1

    def now(self) -> tuple[float, float | None]:
        """The share that is done, and seconds left, once a hundredth of the runs has been seen."""
        share = (self._ended + sum(self._shares.values())) / self._planned
        here = sum(self._shares[name] - self._begun[name] for name in self._shares)
        gained = (self._gained + here) / self._planned
        seconds = time.monotonic() - self._start
        return share, seconds * (1 - share) / gained if gained > 0.01 else None


class _Workers:
    """Processes of `fathom.ablation.worker`, and their lines in the order in which they come."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        self._queue: SimpleQueue[tuple[str, dict[str, Any] | None]] = SimpleQueue()
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> _Workers:
        return self

    def __exit__(self, *_: object) -> None:
        """Ask all that are left to stop, wait until they have saved, and leave none behind."""
        for process in self._processes.values():
            process.terminate()
        try:
            for process in self._processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_PATIENCE)
        finally:
            for name, process in self._processes.items():
                process.kill()
                process.wait()
                self._tidy(name)

    def start(self, name: str, *arguments: str) -> None:
        """Start a process, whose standard error goes into name.log."""
        with self._log(name).open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "fathom.ablation.worker", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                encoding="utf-8",
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which asks to stop
            )
        self._processes[name] = process
        threading.Thread(target=self._listen, args=(name, process), daemon=True).start()

    def lines(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """(process, line) until none is left; the end of a process is a line of kind "over"."""
        while self._processes:
            name, line = self._queue.get()
            if line is not None:
                yield name, line
                continue
            process = self._processes.pop(name)
            if process.wait() not in (0, 2):
                yield name, {"kind": "failed", "reason": self._last_words(name, process.returncode)}
            self._tidy(name)
            yield name, {"kind": "over"}

    def _listen(self, name: str, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                self._queue.put((name, json.loads(line)))
        self._queue.put((name, None))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _tidy(self, name: str) -> None:
        """Keep only the logs of those who said something."""
        with suppress(FileNotFoundError):  # the folder was removed: why it ended is told elsewhere
            if self._log(name).stat().st_size == 0:
                self._log(name).unlink()

    def _last_words(self, name: str, code: int) -> str:
        lines = self._log(name).read_text(encoding="utf-8", errors="replace").splitlines()
        said = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return f"its process ended with code {code} and said last: {said} (see {self._log(name)})"
