"""Experiments that are started from the page: one at a time, each a process of low priority.

What may be run is a list: an experiment by its name, at one of a few scales. Nothing is kept of it
here but the last lines it printed. Its values lie in its folder as soon as they are measured, so
what was stopped goes on where it was.
"""

from __future__ import annotations

import atexit
import os
import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fathom.errors import require, require_choice
from fathom.experiments.plan import PLAN
from fathom.experiments.registry import known_experiment
from fathom.training.run import next_folder

RESULTS = "results.json"
_FATHOM = (sys.executable, "-m", "fathom")
_LINES, _WIDEST = 8, 300  # of what it prints
_LOWER = 10  # added to our niceness
_PATIENCE = 20.0  # seconds from asking it to stop to ending it


@dataclass(frozen=True)
class Scale:
    """How much of an experiment is done; suffix ends the name of its folder."""

    label: str
    options: tuple[str, ...]
    suffix: str


SCALES: Mapping[str, Scale] = {
    "quick": Scale("Quick, once through", ("--quick",), "small"),
    "minutes": Scale("3 minutes, 3 seeds", ("--minutes", "3"), "3min"),
}


@dataclass(frozen=True)
class Progress:
    """How the last job is. code is its exit status, None while it runs; lines are its last ones."""

    experiment: str
    folder: Path
    seconds: float
    code: int | None
    lines: tuple[str, ...]


class Jobs:
    """The one job of this explorer. Safe to use from several threads."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._lock = threading.Lock()
        self._job: _Job | None = None

    def start(self, experiment: str, scale: str) -> str:
        """Start an experiment, or go on with one that was stopped -> what was done, in words.

        Raises UserError for what is not on the list, and while another runs.
        """
        known = known_experiment(experiment)
        require_choice("scale", scale, SCALES)
        require(
            "--minutes" not in SCALES[scale].options or known.minutes is not None,
            f"{experiment} trains nothing that minutes could shorten; choose "
            f"“{SCALES['quick'].label}”",
        )
        with self._lock:
            require(
                self._job is None or self._job.code is not None,
                "an experiment is running; stop it first, or wait for its end",
            )
            folder, resumed = folder_for(self._runs, experiment, scale)
            arguments = [experiment, *SCALES[scale].options, "--out", str(folder)]
            if resumed:
                arguments = ["--resume", str(folder)]
            self._job = _Job(experiment, folder, arguments)
        return f"{'Going on with' if resumed else 'Started'} {folder.name}."

    def stop(self) -> str:
        """Ask what runs to stop, and end it where it does not."""
        with self._lock:
            job = self._job
        if job is None or job.code is not None:
            return "Nothing is running."
        job.stop()
        return f"Stopping {job.folder.name}. What is measured is kept, and starting it goes on."

    def progress(self) -> Progress | None:
        """How the last job is; None where none was started."""
        with self._lock:
            return None if self._job is None else self._job.progress()


def folder_for(runs: Path, experiment: str, scale: str) -> tuple[Path, bool]:
    """Where an experiment of this scale goes, and whether one that was stopped lies there."""
    name = f"{experiment}-{SCALES[scale].suffix}"
    for path in sorted(runs.glob(f"{name}*")):
        own = re.fullmatch(rf"{name}(-\d+)?", path.name)
        if own and (path / PLAN).is_file() and not (path / RESULTS).exists():
            return path, True
    return next_folder(name, runs), False


class _Job:
    """A process and what it prints; it is ended with ours."""

    def __init__(self, experiment: str, folder: Path, arguments: list[str]) -> None:
        self.experiment, self.folder = experiment, folder
        self._began = time.monotonic()
        self._ended: float | None = None
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._process = subprocess.Popen(
            [*_FATHOM, "experiment", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,  # Ctrl-C in the terminal is meant for the explorer
        )
        _lower(self._process.pid)
        atexit.register(self._end)
        threading.Thread(target=self._listen, daemon=True, name="job").start()

    @property
    def code(self) -> int | None:
        return self._process.poll()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.append(line.rstrip()[:_WIDEST])
        self._process.wait()
        self._ended = time.monotonic()
        atexit.unregister(self._end)

    def progress(self) -> Progress:
        seconds = (self._ended or time.monotonic()) - self._began
        lines = tuple(self._lines.copy())
        return Progress(self.experiment, self.folder, seconds, self.code, lines)

    def stop(self) -> None:
        self._process.terminate()
        killer = threading.Timer(_PATIENCE, self._process.kill)
        killer.daemon = True
        killer.start()

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_PATIENCE / 4)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _lower(process: int) -> None:
    """Lower the priority of a process that has just started, where the system can."""
    if os.name == "posix":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process, min(19, os.nice(0) + _LOWER))
