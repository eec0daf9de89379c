"""A run that was left, killed or damaged ends with the bits of one that was not."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import fathom
from fathom.data.settings import AugmentSettings, DataSettings, ResizedCrop
from fathom.errors import UserError
from fathom.training.recipe import Recipe
from fathom.training.reports import Finished, Report, Started, StepReport, Warned
from fathom.training.run import Run
from tests.images import write_tree
from tests.training.test_trainer import finish, quick


@pytest.fixture(scope="module")
def streamed(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Images decoded on the fly by two workers, with crops, flips and an average."""
    folder = tmp_path_factory.mktemp("data")
    write_tree(folder, {"a": 20, "b": 20, "c": 20}, size=24)
    return quick(
        steps=None,
        epochs=3,
        batch_size=8,
        image_size=16,
        data=DataSettings(source=str(folder), cache="off", workers=2),
        augment=AugmentSettings(ResizedCrop(), flip=True),
    )


@pytest.fixture(scope="module")
def whole(streamed: Recipe, tmp_path_factory: pytest.TempPathFactory) -> str:
    return finish(streamed, tmp_path_factory.mktemp("whole") / "run").weights_sha256


def leave_at(step: int, recipe: Recipe, out: Path) -> None:
    stream = fathom.train(recipe, out=out)
    for report in stream:
        if isinstance(report, StepReport) and report.step == step:
            break
    stream.close()


def go_on(out: Path) -> list[Report]:
    reports = list(fathom.resume(out))
    assert isinstance(reports[-1], Finished)
    return reports


@pytest.mark.parametrize("step", [1, 5, 6, 7, 17])
def test_leaving_the_loop_anywhere_changes_no_bit(
    step: int, streamed: Recipe, whole: str, tmp_path: Path
) -> None:
    """Six steps an epoch: inside one, at its end, at the start of the next, near the very end."""
    leave_at(step, streamed, tmp_path / "run")
    reports = go_on(tmp_path / "run")
    assert isinstance(reports[0], Started)
    assert reports[0].resumed_step == step
    last = reports[-1]
    assert isinstance(last, Finished)
    assert last.weights_sha256 == whole
    steps = [r["step"] for r in Run.open(tmp_path / "run").read_metrics() if r["kind"] == "epoch"]
    assert steps == [6, 12, 18]


def test_the_log_of_a_resumed_run_equals_that_of_a_whole_one(
    streamed: Recipe, tmp_path: Path
) -> None:
    finish(streamed, tmp_path / "whole")
    leave_at(9, streamed, tmp_path / "left")
    go_on(tmp_path / "left")

    def told(folder: Path) -> list[dict[str, object]]:
        timing = {"seconds", "seconds_left", "images_per_second"}
        records = Run.open(folder).read_metrics()
        return [{k: v for k, v in r.items() if k not in timing} for r in records]

    assert told(tmp_path / "left") == told(tmp_path / "whole")


KILLED = """
import sys, fathom
from pathlib import Path
from fathom.training.reports import StepReport
from fathom.training.run import Run
recipe = Run.open(Path(sys.argv[1])).recipe()
for report in fathom.train(recipe, out=sys.argv[2], save_seconds=0.0):
    if isinstance(report, StepReport):
        print(report.step, flush=True)
"""


@pytest.mark.parametrize("trial", range(2))
def test_kill_dash_nine_changes_no_bit(
    trial: int, streamed: Recipe, whole: str, tmp_path: Path
) -> None:
    """Killed at a random moment, while it saves after every step; not once the run has ended."""
    Run.create(tmp_path / "wanted", streamed, None)
    rng = random.Random(trial)
    target = rng.randint(1, 14)
    arguments = [sys.executable, "-c", KILLED, str(tmp_path / "wanted"), str(tmp_path / "run")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == target:
                break
        time.sleep(rng.random() * 0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = go_on(tmp_path / "run")[-1]
    assert isinstance(last, Finished)
    assert last.weights_sha256 == whole


def test_a_damaged_checkpoint_falls_back_says_so_and_changes_no_bit(
    streamed: Recipe, whole: str, tmp_path: Path
) -> None:
    leave_at(4, streamed, tmp_path / "run")
    file = tmp_path / "run" / "checkpoints" / "last-00000004.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    reports = go_on(tmp_path / "run")
    assert any(isinstance(r, Warned) and "previous good" in r.message for r in reports)
    last = reports[-1]
    assert isinstance(last, Finished)
    assert last.weights_sha256 == whole


def test_another_machine_is_noted(streamed: Recipe, tmp_path: Path) -> None:
    leave_at(4, streamed, tmp_path / "run")
    run = Run.open(tmp_path / "run")
    run.write("environment", {**run.read("environment"), "machine": "CPU, 64 threads, float32"})
    notes = [r.message for r in go_on(tmp_path / "run") if isinstance(r, Warned)]
    assert len(notes) == 1
    assert notes[0].startswith("begun on CPU, 64 threads, float32, resumed on CPU, ")


def test_changed_data_and_ended_runs_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path / "data", {"a": 10, "b": 10}, size=12)
    recipe = quick(
        data=DataSettings(source=str(tmp_path / "data")), batch_size=4, image_size=12, steps=3
    )
    leave_at(1, recipe, tmp_path / "run")
    moved = tmp_path / "data" / "a" / "0.png"
    moved.rename(tmp_path / "data" / "b" / "extra.png")
    with pytest.raises(UserError, match="have changed since it started"):
        go_on(tmp_path / "run")
    (tmp_path / "data" / "b" / "extra.png").rename(moved)
    go_on(tmp_path / "run")
    with pytest.raises(UserError, match="already ended"):
        go_on(tmp_path / "run")


def test_a_run_by_minutes_resumes_within_what_is_left(tmp_path: Path) -> None:
    recipe = quick(steps=None, minutes=0.15)
    stream = fathom.train(recipe, out=tmp_path / "run")
    for report in stream:
        if isinstance(report, StepReport) and report.seconds > 4:
            break
    stream.close()
    last = go_on(tmp_path / "run")[-1]
    assert isinstance(last, Finished)
    assert last.seconds == pytest.approx(9, abs=1.5)
