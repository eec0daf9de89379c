"""Every experiment goes through its whole course in its quick form, on the digits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.experiments import (
    EXPERIMENTS,
    Finished,
    make_plan,
    make_setting,
    read_results,
    resume,
    run,
)
from fathom.experiments.nouns import Setting
from fathom.experiments.registry import function_of
from fathom.report.experiment_page import write_experiment


@pytest.fixture(scope="module")
def setting() -> Setting:
    return make_setting("digits", quick=True)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_quick_run_is_whole(name: str, setting: Setting, tmp_path: Path) -> None:
    records = list(run(make_plan(name, setting), tmp_path / "run"))
    done = records[-1]
    assert isinstance(done, Finished)
    assert done.findings.sentences
    assert done.findings.charts
    assert set(done.findings.verdicts) == set(function_of(name)(setting).claims)
    assert all(found.verdict == "not-reproduced" for found in done.findings.verdicts.values()), (
        "two seeds of four steps show nothing"
    )
    again, stored = read_results(tmp_path / "run" / "results.json")
    findings = function_of(name)(setting).findings(again).to_dict()
    assert json.loads(json.dumps(findings)) == stored["findings"], "made again from the file"
    assert write_experiment(tmp_path / "run").stat().st_size > 10_000
    assert [type(r) for r in resume(tmp_path / "run")] == [Finished], "nothing is measured twice"
