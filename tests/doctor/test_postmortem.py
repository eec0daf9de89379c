"""A post-mortem reads what the doctor saw, or the log where there was none, and says which."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fathom.doctor import Doctor
from fathom.doctor.postmortem import post_mortem
from fathom.errors import UserError
from fathom.evaluate import Evaluation
from fathom.training.reports import EpochReport, StepReport
from fathom.training.run import Run
from fathom.training.session import train
from tests.doctor.making import FINDING, only_check
from tests.training.test_trainer import tiny

RECIPE = replace(tiny(), steps=None, epochs=6, batch_size=512)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An attended run that has ended, one that was killed in its fourth epoch, and one without a
    doctor."""
    folder = tmp_path_factory.mktemp("runs")
    list(train(replace(RECIPE, epochs=2), out=folder / "whole", attendant=Doctor(every=1)))
    for report in train(RECIPE, out=folder / "killed", attendant=Doctor(every=1)):
        if isinstance(report, EpochReport) and report.epoch == 2:
            kept = (folder / "killed" / "doctor.json").read_bytes()
        if isinstance(report, StepReport) and report.step == 7:
            break
    (folder / "killed" / "doctor.json").write_bytes(kept)  # as a kill would leave it
    list(train(RECIPE, out=folder / "alone"))
    return folder


def test_what_was_seen_is_judged_anew(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_check(monkeypatch, lambda seen: FINDING if seen.looks else None)
    found = post_mortem(runs / "whole")
    assert [finding.cause for finding in found.findings] == [FINDING.cause]
    assert not found.unseen
    assert not found.healthy


def test_healthy_is_said_of_a_run_that_was_seen_to_its_end_only(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_check(monkeypatch, lambda seen: None)
    said = {run.name: post_mortem(run).sentence() for run in runs.iterdir()}
    assert said["whole"] == "healthy"
    assert said["alone"] == "nothing is wrong in what its log shows"
    assert said["killed"].startswith("nothing is wrong in what was seen up to step ")


def test_a_killed_run_shows_what_was_written_before(runs: Path) -> None:
    seen = post_mortem(runs / "killed").observed
    steps = seen.curve.step
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) in (2, 4, 6), "after the first epoch, and others as far as time allows"
    assert {exam.step for exam in seen.exams if exam.split == "val"} == {2, 4, 6}
    assert not seen.over


def test_a_log_tells_the_curve_and_how_the_run_was_judged(runs: Path) -> None:
    found, run = post_mortem(runs / "alone"), Run(runs / "alone")
    seen, judged = found.observed, Evaluation.from_dict(run.read("evaluation")["evaluation"])
    lines = [line for line in run.read_metrics() if line["kind"] == "step"]
    assert seen.curve.step == [line["step"] for line in lines]
    assert seen.curve.loss == [line["loss"] for line in lines]
    last = seen.exams[-1]
    assert (last.step, last.top1, last.loss) == (12, judged.top1, judged.loss)
    assert last.images == judged.num_images == sum(map(sum, last.matrix or []))
    assert seen.task.num_classes == 10
    assert sum(seen.task.counts) == 1438
    assert seen.over
    assert any("gradients" in words for words in found.unseen)


def test_where_a_run_diverged_is_known_from_its_result(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", tiny(), None)
    run.write("result", {"status": "diverged", "step": 41, "reason": "nan"})
    assert post_mortem(run.folder).observed.diverged == 41


def test_a_probe_and_what_is_no_run_are_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", tiny(), None)
    run.write("probe", {})
    with pytest.raises(UserError, match="there is no training to diagnose"):
        post_mortem(run.folder)
    with pytest.raises(UserError, match="no such run"):
        post_mortem(tmp_path / "none")


def test_a_run_that_was_seen_has_the_task_that_its_log_tells(runs: Path) -> None:
    """Both ways of knowing the task agree."""
    attended = post_mortem(runs / "whole").observed.task
    (runs / "whole" / "doctor.json").rename(runs / "doctor.json")
    assert post_mortem(runs / "whole").observed.task == attended
    (runs / "doctor.json").rename(runs / "whole" / "doctor.json")
