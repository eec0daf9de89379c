"""The report says what the doctor found, in words that the data cannot turn into anything else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.doctor import Observed, record
from fathom.doctor.nouns import Finding
from fathom.report.diagnosis import doctor
from fathom.report.markup import Html
from fathom.report.material import read_run
from fathom.report.page import run_sheet
from fathom.training.run import Run
from tests.doctor.making import CHART, FINDING
from tests.training.test_trainer import tiny


def section(folder: Path, findings: list[Finding] | None, *, over: bool = True) -> Html | None:
    run = Run.create(folder, tiny(), None)
    if findings is not None:
        record.write(run, Observed(over=over), findings, seconds=1.5)
    return doctor(read_run(folder))


def test_a_finding_is_shown_with_evidence_place_time_and_remedy(tmp_path: Path) -> None:
    found = section(tmp_path / "run", [FINDING])
    assert found is not None
    for words in (
        "The learning rate is too high",
        "The steps are &lt;b&gt;ten&lt;/b&gt; times too long.",
        "Use a lower rate.",
        "fathom train --set optimizer.lr=0.0625",
        "optimizer = SGD(lr=0.0625)",
        "stem.conv, head.fc",
        "step 1",
        "above 0.5",
        "made up",
        "Gradients explode: their norm is 1.5",
    ):
        assert words in found
    (figure,) = found.split('<script type="application/json">')[1:]
    data = json.loads(figure.split("</script>")[0])["data"]
    assert data[0]["y"] == list(CHART.series[0].y)
    assert 'id="doctor"' in run_sheet(read_run(tmp_path / "run")).body


def test_findings_stand_in_their_order_and_many_places_are_counted(tmp_path: Path) -> None:
    other = replace(FINDING, cause="label-noise", where=tuple(map(str, range(14))), chart=None)
    found = section(tmp_path / "run", [other, FINDING])
    assert found is not None
    assert found.index("Some labels are wrong") < found.index("The learning rate is too high")
    assert "11, and 2 more" in found


@pytest.mark.parametrize(("over", "words"), [(True, "Healthy: "), (False, "so far")])
def test_healthy_is_one_quiet_line(tmp_path: Path, over: bool, words: str) -> None:
    found = section(tmp_path / "run", [], over=over)
    assert found is not None
    assert words in found
    assert found.count("<p") == 1
    assert 'class="quiet"' in found


def test_a_run_without_a_doctor_has_no_such_section(tmp_path: Path) -> None:
    assert section(tmp_path / "run", None) is None
    assert 'id="doctor"' not in run_sheet(read_run(tmp_path / "run")).body
