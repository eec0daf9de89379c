"""The folder of runs: which there are, whether one goes on, and whether anything has changed."""

from __future__ import annotations

import time
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from fathom.errors import UserError
from fathom.report.material import Material, read_run
from fathom.report.verdict import judge

_LOG = "metrics.jsonl"
_FILES = ("recipe.json", "data.json", _LOG, "evaluation.json", "result.json", "report.html")
_KEPT = 16  # runs in memory
_QUIET = 60.0  # seconds without a record that say nothing yet
_LOADING = 600.0  # the same before the first: data and weights are loaded
_GAPS = 3  # times the longest time between two records that it may take


def run_names(folder: Path) -> list[str]:
    """The runs in a folder, those written to last first; none where there is no such folder."""
    try:
        found = [path for path in folder.iterdir() if (path / "recipe.json").is_file()]
    except OSError:
        return []
    return [path.name for path in sorted(found, key=lambda path: (-_touched(path), path.name))]


def inside(folder: Path, name: str) -> Path:
    """The run of this name. Raises UserError for what is not a run right inside the folder."""
    if name not in run_names(folder):
        raise UserError(f"no run is called {name!r} here; choose one of the list")
    return folder / name


def stamp(folder: Path) -> str:
    """When its files were written, and their sizes: another once the run has got any further."""
    marks = []
    for name in _FILES:
        try:
            found = (folder / name).stat()
        except OSError:
            continue
        marks.append(f"{name[0]}{found.st_mtime_ns}-{found.st_size}")
    return " ".join(marks)


def read(folder: Path) -> Material:
    """A run, read anew only where a file of it has changed."""
    return _read(folder, stamp(folder))


@lru_cache(_KEPT)
def _read(folder: Path, _: str) -> Material:
    return read_run(folder)


def is_going(run: Material) -> bool:
    """Whether a run has no result and its log still grows: the last record is no older than a
    minute, or than three times the longest time between two. Before the first, ten minutes."""
    if run.result:
        return False
    places = sorted({*(s.seconds for s in run.steps), *(e.seconds for e in run.epochs)})
    gaps = [later - sooner for sooner, later in pairwise(places)]
    patience = max(_QUIET, _GAPS * max(gaps, default=0.0)) if places else _LOADING
    return time.time() - _touched(run.folder) < patience


def state(run: Material) -> str:
    """How it is with a run, in a few words."""
    return "In progress" if is_going(run) else judge(run).word


def _touched(folder: Path) -> float:
    """When a run's log was written to last, in seconds since 1970."""
    for name in (_LOG, "recipe.json"):
        try:
            return (folder / name).stat().st_mtime
        except OSError:
            continue
    return 0.0
