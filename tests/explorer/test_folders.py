"""Which runs there are, and how it is with them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import UserError
from fathom.explorer.folders import inside, is_going, read, run_names, stamp, state
from tests.explorer.making import epoch, make_run, step


def aged(folder: Path, seconds: float) -> None:
    """The log as if it had been written to so long ago."""
    then = time.time() - seconds
    for name in ("metrics.jsonl", "recipe.json"):
        if (folder / name).exists():
            os.utime(folder / name, (then, then))


def test_runs_come_by_when_they_were_written_to(tmp_path: Path) -> None:
    for name, age in (("old", 50.0), ("<b>new", 1.0), ("older", 99.0)):
        make_run(tmp_path / name, [step(1, 1.0)])
        aged(tmp_path / name, age)
    (tmp_path / "other").mkdir()
    assert run_names(tmp_path) == ["<b>new", "old", "older"]
    with (tmp_path / "older" / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(step(10, 2.0)) + "\n")
    assert run_names(tmp_path)[0] == "older"
    assert run_names(tmp_path / "nowhere") == []


@pytest.mark.parametrize("name", ["..", "../runs/run", "/etc", "other", "", "run/checkpoints", "."])
def test_no_other_folder_is_a_run(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "runs"
    make_run(folder / "run", [])
    (folder / "other").mkdir()
    assert inside(folder, "run") == folder / "run"
    with pytest.raises(UserError, match="no run is called"):
        inside(folder, name)


@pytest.mark.parametrize(
    ("log", "age", "going"),
    [
        ([], 500.0, True),  # it still loads its images
        ([], 700.0, False),
        ([step(1, 1.0), step(10, 5.0)], 50.0, True),
        ([step(1, 1.0), step(10, 5.0)], 70.0, False),
        ([step(1, 1.0), step(10, 101.0)], 290.0, True),  # such pauses are its way
        ([step(1, 1.0), step(10, 101.0)], 310.0, False),
        ([step(1, 1.0), epoch(0, 10, 51.0), step(20, 101.0)], 140.0, True),
        ([step(1, 1.0), epoch(0, 10, 51.0), step(20, 101.0)], 160.0, False),
    ],
)
def test_a_run_goes_on_while_its_log_grows(
    tmp_path: Path, log: list[Any], age: float, going: bool
) -> None:
    folder = tmp_path / "run"
    make_run(folder, log)
    aged(folder, age)
    assert is_going(read(folder)) == going
    assert state(read(folder)) == ("In progress" if going else "No result yet")
    make_run(folder, log, result={"status": "diverged", "reason": "the loss is nan"})
    assert not is_going(read(folder))
    assert state(read(folder)) == "Diverged"


def test_the_stamp_tells_every_change_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_run(folder, [step(1, 1.0)])
    first = stamp(folder)
    assert stamp(folder) == first
    (folder / "notes.txt").write_text("mine")
    assert stamp(folder) == first
    seen = {first}
    for name in ("metrics.jsonl", "result.json", "evaluation.json", "report.html"):
        with (folder / name).open("a") as file:
            file.write("\n")
        assert stamp(folder) not in seen
        seen.add(stamp(folder))


def test_a_run_is_read_anew_once_it_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    make_run(folder, [step(1, 1.0)])
    first = read(folder)
    assert read(folder) is first
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps(step(10, 2.0)) + "\n")
    assert [s.step for s in read(folder).steps] == [1, 10]
