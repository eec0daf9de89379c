"""doctor.json: written while a run goes on, taken up when it is resumed."""

from __future__ import annotations

import json
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fathom
from fathom.doctor import Doctor, record
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import FORMAT, Exam, Look, Observed
from fathom.doctor.postmortem import post_mortem
from fathom.errors import UserError
from fathom.training.reports import EpochReport, Finished, Report, StepReport, Warned
from fathom.training.run import Run
from fathom.training.session import resume, train
from tests.doctor.making import FINDING, only_check
from tests.training.test_trainer import tiny


def recipe(**replacements: Any) -> Any:
    return replace(tiny(), steps=None, epochs=3, batch_size=512, **replacements)


def seen_in(folder: Path) -> Observed:
    found = record.read(Run.open(folder))
    assert found is not None
    return found


def test_a_finding_goes_through_json_without_loss() -> None:
    assert Finding.from_dict(FINDING.to_dict()) == replace(
        FINDING, remedy=replace(FINDING.remedy, changes=dict(FINDING.remedy.changes))
    )
    assert Finding.from_dict(replace(FINDING, chart=None).to_dict()).chart is None


def test_what_comes_after_a_step_is_forgotten() -> None:
    seen = Observed(over=True, diverged=9)
    for step in range(1, 6):
        seen.curve.add(step, step / 2, 0.5, 0.1)
        seen.looks.append(Look(step, 1.0, 0.1))
        seen.exams.append(Exam(step, "val", "result", 1.0, 0.5, 9))
    record.forget_after(seen, 3)
    assert seen.curve.step == [1, 2, 3]
    assert seen.curve.loss == [0.5, 1.0, 1.5]
    assert len(seen.curve.top1) == len(seen.curve.lr) == 3
    assert [look.step for look in seen.looks] == [1, 2, 3]
    assert [exam.step for exam in seen.exams] == [1, 2, 3]
    assert (seen.over, seen.diverged) == (False, None)


def test_nothing_is_known_without_a_doctor_and_a_damaged_file_is_refused(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", tiny(), None)
    assert record.read(run) is None
    (run.folder / "doctor.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        record.read(run)
    (run.folder / "doctor.json").write_text('{"format": 1}')
    with pytest.raises(UserError, match=r"doctor\.json: observed is damaged"):
        record.read(run)
    assert record.read_margins(run) is None
    (run.folder / "margins.safetensors").write_text("{")
    with pytest.raises(UserError, match=r"margins\.safetensors is damaged"):
        record.read_margins(run)


def test_a_file_of_another_format_ends_in_one_message_and_is_left(tmp_path: Path) -> None:
    out = tmp_path / "run"
    until(train(recipe(), out=out, attendant=Doctor(every=1)), 3)
    file = out / "doctor.json"
    values = json.loads(file.read_text())
    del values["observed"]["format"], values["observed"]["passes"]["looks"]  # as the first was
    file.write_text(json.dumps(values))
    kept = file.read_bytes()
    message = (
        rf"doctor\.json: what was seen is of format 1, and this Fathom reads format {FORMAT} only"
    )
    with pytest.raises(UserError, match=message):
        post_mortem(out)
    with pytest.raises(UserError, match=message):
        list(resume(out, attendant=Doctor(every=1)))
    assert file.read_bytes() == kept


def until(stream: Generator[Report, None, None], step: int) -> list[Report]:
    """The reports up to that of a step, where the stream is left."""
    reports = []
    for report in stream:
        reports.append(report)
        if isinstance(report, StepReport) and report.step == step:
            break
    stream.close()
    return reports


def test_a_resumed_run_shows_what_a_whole_one_does(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(train(recipe(), out=whole, attendant=Doctor(every=1)))
    until(train(recipe(), out=parts, attendant=Doctor(every=1)), 3)
    assert seen_in(parts).curve.step == [1, 2, 3]
    assert not seen_in(parts).over
    list(resume(parts, attendant=Doctor(every=1)))
    for name in ("step", "loss", "top1", "lr"):
        assert getattr(seen_in(parts).curve, name) == getattr(seen_in(whole).curve, name)
    looks = [[look.step for look in seen_in(run).looks] for run in (whole, parts)]
    assert set(looks[1]) >= set(looks[0]) - {4}, "the first step after a start has no judges"
    assert seen_in(parts).over
    suspects = [seen_in(run).labels.suspects for run in (whole, parts)]
    assert suspects[0]
    assert suspects[0] == suspects[1], "margins go on where they were left"
    assert not (parts / "margins.safetensors").exists()


def test_a_killed_run_has_been_written_after_its_epochs(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for report in train(recipe(), out=out, attendant=Doctor()):
        if isinstance(report, StepReport) and report.step == 4:
            assert seen_in(out).curve.step == [1, 2]
        if isinstance(report, EpochReport) and report.step == 6:
            break


def test_warnings_come_once_with_their_step_and_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_check(monkeypatch)
    fast = replace(tiny().optimizer, lr=0.75)
    doctor = Doctor(every=1)
    reports = list(train(recipe(optimizer=fast), out=tmp_path / "run", attendant=doctor))
    told = [r for r in reports if isinstance(r, Warned) and FINDING.says in r.message]
    assert [warned.step for warned in told] == [1]
    assert [finding.cause for finding in doctor.findings] == [FINDING.cause]
    logged = [r for r in Run(tmp_path / "run").read_metrics() if r["kind"] == "warning"]
    assert any(FINDING.says in line["message"] for line in logged)


def test_a_run_ends_with_the_same_bits_whoever_attends(tmp_path: Path) -> None:
    ends = []
    for name, attending in (("alone", None), ("attended", Doctor(every=1))):
        *_, last = train(recipe(), out=tmp_path / name, attendant=attending)
        assert isinstance(last, Finished)
        ends.append(last.weights_sha256)
    assert ends[0] == ends[1]
    assert fathom.load(tmp_path / "attended")
