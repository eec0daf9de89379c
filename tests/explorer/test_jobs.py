"""Jobs: from a list, one at a time, at low priority, stopped on request, and with the explorer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fathom.errors import UserError
from fathom.experiments import EXPERIMENTS, Plan
from fathom.explorer import jobs
from fathom.explorer.jobs import SCALES, Jobs, Progress, folder_for

SECONDS = 120.0  # longer than anything here takes
SAYS = "import sys; print('\\n'.join(sys.argv[1:])); print('ä<b>' + 400 * 'x', file=sys.stderr)"
WAITS = "import time; print('here', flush=True); time.sleep(600)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITS


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Jobs]]:
    """Jobs that run a script in the place of Fathom; what is left of them is ended."""
    made: list[Jobs] = []

    def start(script: str) -> Jobs:
        monkeypatch.setattr(jobs, "_FATHOM", (sys.executable, "-c", script))
        made.append(Jobs(tmp_path))
        made[-1].start("degradation", "quick")
        return made[-1]

    yield start
    for job in made:
        assert job._job is not None
        job._job._process.kill()
        job._job._process.wait()


def wait(job: Jobs, until: Callable[[Progress], bool]) -> Progress:
    """The progress as soon as it is so far."""
    end = time.monotonic() + SECONDS
    while True:
        found = job.progress()
        assert found is not None
        if until(found) or time.monotonic() > end:
            return found
        time.sleep(0.02)


def test_a_job_is_a_command_of_the_list(started: Callable[[str], Jobs], tmp_path: Path) -> None:
    found = wait(started(SAYS), lambda p: p.code is not None and len(p.lines) > 4)
    folder = tmp_path / "degradation-small"
    assert found.code == 0
    assert found.folder == folder
    assert found.lines[:-1] == ("experiment", "degradation", "--quick", "--out", str(folder))
    assert found.lines[-1].startswith("ä<b>xxx")
    assert len(found.lines[-1]) == 300
    assert found.seconds < SECONDS


@pytest.mark.parametrize("name", ["", "../x", "degradation --about", "norms;ls", "--help"])
def test_nothing_else_can_be_started(tmp_path: Path, name: str) -> None:
    job = Jobs(tmp_path)
    with pytest.raises(UserError, match="unknown experiment"):
        job.start(name, "quick")
    with pytest.raises(UserError, match="is none of quick, minutes"):
        job.start("degradation", name)
    assert job.progress() is None
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", [n for n, known in EXPERIMENTS.items() if known.minutes is None])
def test_minutes_without_effect_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="choose “Quick, once through”"):
        Jobs(tmp_path).start(name, "minutes")


def test_one_runs_at_a_time_until_it_is_stopped(started: Callable[[str], Jobs]) -> None:
    job = started(WAITS)
    assert wait(job, lambda p: bool(p.lines)).lines == ("here",)
    with pytest.raises(UserError, match="an experiment is running"):
        job.start("norms", "quick")
    assert "Stopping degradation-small" in job.stop()
    found = wait(job, lambda p: p.code is not None)
    assert found.code == -signal.SIGTERM
    time.sleep(0.1)
    assert job.progress() == wait(job, lambda p: True), "its time has stopped"
    assert job.stop() == "Nothing is running."
    assert "Started" in job.start("norms", "quick")


@pytest.mark.skipif(os.name != "posix", reason="priorities are POSIX's")
def test_a_job_has_low_priority(started: Callable[[str], Jobs]) -> None:
    job = started(WAITS)
    wait(job, lambda p: bool(p.lines))
    assert job._job is not None
    here = os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getpriority(os.PRIO_PROCESS, job._job._process.pid) == min(19, here + 10)


def test_what_does_not_stop_is_ended(
    started: Callable[[str], Jobs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "_PATIENCE", 0.2)
    job = started(DEAF)
    wait(job, lambda p: bool(p.lines))
    job.stop()
    assert wait(job, lambda p: p.code is not None).code == -signal.SIGKILL


def test_a_job_ends_with_the_explorer(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fathom.explorer import jobs\n"
        f"jobs._FATHOM = (sys.executable, '-c', {WAITS!r})\n"
        f"job = jobs.Jobs(Path({str(tmp_path)!r})); job.start('degradation', 'quick')\n"
        "print(job._job._process.pid)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(found.stdout), 0)


def test_folders_are_new_or_go_on(tmp_path: Path) -> None:
    def make(name: str, *files: str) -> None:
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).write_text("{}")

    small, minutes = tmp_path / "norms-small", tmp_path / "norms-3min"
    assert folder_for(tmp_path / "nowhere", "norms", "quick")[1] is False
    assert folder_for(tmp_path, "norms", "quick") == (small, False)
    make("norms-small", "experiment.json", "results.json")
    assert folder_for(tmp_path, "norms", "quick") == (tmp_path / "norms-small-2", False)
    make("norms-small-2")  # of somebody else
    assert folder_for(tmp_path, "norms", "quick") == (tmp_path / "norms-small-3", False)
    make("norms-small-mine", "experiment.json")
    assert folder_for(tmp_path, "norms", "quick") == (tmp_path / "norms-small-3", False)
    make("norms-small-3", "experiment.json")
    assert folder_for(tmp_path, "norms", "quick") == (tmp_path / "norms-small-3", True)
    assert folder_for(tmp_path, "norms", "minutes") == (minutes, False)


def test_a_real_one_is_stopped_and_goes_on(tmp_path: Path) -> None:
    job = Jobs(tmp_path)
    job.start("initialisation", "quick")
    folder = tmp_path / "initialisation-small"
    try:
        wait(job, lambda p: (folder / "experiment.json").exists() or p.code is not None)
        job.stop()
        found = wait(job, lambda p: p.code is not None)
    finally:
        job.stop()
    assert found.code == 130, found.lines
    assert Plan.read(folder).name == "initialisation"
    assert Plan.read(folder).setting.quick
    assert folder_for(tmp_path, "initialisation", "quick") == (folder, True)


def test_every_scale_has_its_own_folder() -> None:
    assert len({scale.suffix for scale in SCALES.values()}) == len(SCALES)
