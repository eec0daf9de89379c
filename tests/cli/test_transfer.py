"""`fathom transfer`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.cli.test_commands import Call, call
from tests.transfer.test_session import weights

__all__ = ["call", "weights"]


@pytest.fixture(autouse=True)
def _started_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Minutes count from the start of the process, which is that of other tests, too."""
    monkeypatch.setattr("fathom.cli.transfer.STARTED", time.monotonic())


def test_auto_tells_why_and_writes_a_run_with_its_reasons(
    call: Call, weights: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    words = ("--weights", weights, "--image-size", 8, "--minutes", 0.15, "--no-cache")
    code, printed, err = call("transfer", "digits", *words, "--out", out, "--json")
    assert code == 0, err
    found = json.loads(printed)
    assert found["run"] == str(out)
    for name in ("probe", "partial", "finetune", "scratch"):
        assert f"\n{name}: " in f"\n{err}"
    assert "Chosen: " in err
    assert "images a class that it saw, the probe alone is expected at" in err
    page = (out / "transfer" / "decision.html").read_text()
    assert "Why this strategy" in page
    assert json.loads(call("evaluate", out, "--json")[1])["top1"] == found["top1"]
    code, _, err = call("transfer", "digits", *words, "--out", out)
    assert code == 2
    assert "is not empty" in err


def test_a_curve_is_a_table_in_words_and_a_figure(call: Call, weights: str, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    words = ("--weights", weights, "--image-size", 8, "--minutes", 0.18, "--no-cache")
    code, printed, err = call("transfer", "digits", *words, "--curve", "--out", out)
    assert code == 0, err
    assert printed.count(" images a class: ") == 16
    assert "With ten times as many it would be" in printed
    assert "Training images a class" in (out / "curve.html").read_text()


REFUSED = {
    "stages of a probe": (("--strategy", "probe", "--stages", 2), "--stages has no effect"),
    "strategy of a curve": (("--strategy", "probe", "--curve"), "--strategy probe has no effect"),
    "weights of none": (("--strategy", "scratch", "--weights", "lite0"), "fresh weights"),
    "network of none": (("--strategy", "scratch", "--model", "resnet50"), "fresh weights"),
    "no time": (("--minutes", 0), "minutes is 0; it must be above 0"),
    "unknown weights": (("--weights", "lite9"), "no weights called 'lite9'"),
    "weights of another network": (("--model", "resnet18"), "the lite weights are those of"),
    "weights without a model": (("--weights", "torchvision"), "does not say of which network"),
    "twice the same": (("--weights", "lite0,lite"), "twice"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_effect_or_makes_no_sense_is_refused(
    call: Call, tmp_path: Path, case: str
) -> None:
    words, message = REFUSED[case]
    code, _, err = call("transfer", "digits", *words, "--out", tmp_path / "run")
    assert code == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "run").exists()
