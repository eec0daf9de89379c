"""Findings in order, without their consequences, and the words that a terminal shows."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest

from fathom.cli.app import show_json
from fathom.doctor.causes import CAUSES, rank
from fathom.doctor.checks.outcome import outcome
from fathom.doctor.diagnose import Verdict, all_checks, diagnose, in_words
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Curve, Exam, Look, Observed, Passes
from tests.doctor.making import FINDING


def test_every_cause_has_a_check() -> None:
    assert list(all_checks()) == list(CAUSES)


def found(monkeypatch: pytest.MonkeyPatch, *causes: str, early: bool = False) -> list[str]:
    """The causes that are left of those that checks find."""
    module = import_module("fathom.doctor.diagnose")  # the function of this name hides it

    def check(cause: str) -> Finding:
        return replace(FINDING, cause=cause)

    known = {cause: (lambda _, cause=cause: check(cause)) for cause in causes}
    monkeypatch.setattr(module, "all_checks", lambda: known)
    return [finding.cause for finding in diagnose(Observed(), early=early)]


@pytest.mark.parametrize("cause", CAUSES)
def test_consequences_go_with_their_cause(cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    left = found(monkeypatch, cause, *(c for c in CAUSES[cause].hides))
    assert left == [cause]


def test_findings_come_in_the_order_of_mending(monkeypatch: pytest.MonkeyPatch) -> None:
    left = found(monkeypatch, "overfitting", "leakage", "layer-frozen")
    assert left == sorted(left, key=rank) == ["layer-frozen", "leakage", "overfitting"]


def test_nothing_early_is_said_of_how_well_it_will_have_learnt(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert found(monkeypatch, "overfitting", "leakage", early=True) == ["leakage"]


def test_a_finding_in_words() -> None:
    finding = replace(FINDING, says="far " * 40, where=tuple("abcdefgh"), since=1200)
    lines = in_words(finding).splitlines()
    assert lines[0] == "learning-rate-too-high: The learning rate is too high"
    assert "  where: a, b, c, d, e, f and 2 more" in lines
    assert "  since: step 1,200" in lines
    assert "  do:    Use a lower rate." in lines
    assert "           optimizer = SGD(lr=0.0625)" in lines
    assert lines[-1] == "  more:  docs/doctor/learning-rate-too-high.md"
    assert max(map(len, lines)) <= 88


def seen() -> Observed:
    """A run of ten steps that was told everything."""
    look = Look(10, 1.0, 0.1, line={"1": 1.0})
    exam = Exam(10, "train", "result", 0.1, 1.0, 512)
    return Observed(
        curve=Curve([10], [1.0], [0.5], [0.1]),
        looks=[look],
        exams=[exam],
        passes=Passes(looks=1),
    )


def test_a_healthy_run_is_one_quiet_line() -> None:
    said = "healthy: nothing wrong was found (10 steps, 1 of them looked at closely)"
    assert str(Verdict([], seen())) == said


def test_several_findings_are_counted() -> None:
    said = str(Verdict([FINDING, replace(FINDING, cause="overfitting")], seen()))
    assert said.startswith("2 things are wrong; mend the first one first (10 steps, ")
    assert said.index("\n\nlearning-rate-too-high: ") < said.index("\n\noverfitting: ")
    assert str(Verdict([FINDING], seen())).startswith("one thing is wrong (10 steps, ")


def test_a_run_that_nobody_told_about_is_not_called_healthy() -> None:
    assert str(Verdict([], Observed())).startswith("nothing can be said: no step was seen. Call ")


def gaps(told: Observed) -> list[str]:
    """What a verdict says was not judged, without what to do about it."""
    return [line.split(";")[0] for line in str(Verdict([], told)).splitlines()[1:]]


def test_what_could_not_be_judged_is_said() -> None:
    told = seen()
    told.looks[0].line = {}
    assert gaps(told) == ["not judged: the length of steps"]
    told.curve.top1 = [None]
    told.exams = []
    assert gaps(told) == [
        "not judged: accuracies and the length of steps",
        "not judged: data and overfitting",
    ]


def test_a_reason_for_not_asking_a_loader_is_said_instead_of_asking_for_one() -> None:
    told = seen()
    told.exams = []
    said = str(Verdict([], told, {"train": "gives uint8 images: give others"}))
    assert said.endswith(
        "\nnot judged: data and overfitting; train= gives uint8 images: give others."
    )


def test_the_evidence_of_a_diverged_run_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is no JSON")

    found = replace(FINDING, evidence=(outcome(Observed(diverged=3)),), where=("a", "b"))
    show_json({"findings": [found.to_dict()], "loss": [math.nan, 1.5]})
    told = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert told["findings"][0]["evidence"][0]["value"] is None
    assert told["findings"][0]["where"] == ["a", "b"]
    assert told["loss"] == [None, 1.5]
