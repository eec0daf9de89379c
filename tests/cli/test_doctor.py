"""How people meet the doctor: beside `fathom train`, afterwards, and beforehand."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fathom.doctor.nouns import Finding, Remedy
from fathom.doctor.observed import Observed
from tests.cli.test_commands import Call, call
from tests.doctor.making import FINDING, only_check
from tests.images import write_tree

__all__ = ["call"]

SMALL = (
    *("--set", "model.name=cifar_resnet20", "--set", "model.spec.depths=[1, 1, 1]"),
    *("--set", "model.spec.widths=[4, 4, 4]", "--steps", 3, "--batch-size", 512),
)


@pytest.fixture
def sick(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a learning rate that the only check finds too high."""
    only_check(monkeypatch)
    out = tmp_path / "run"
    code, _, err = call("train", *SMALL, "--lr", 0.75, "--quiet", "--out", out)
    assert code == 0, err
    return out


def test_a_healthy_run_is_told_in_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_check(monkeypatch)
    code, out, err = call("train", *SMALL, "--out", tmp_path / "run")
    assert (code, err) == (0, "")
    assert out.count("doctor") == 1
    assert "\ndoctor: healthy\n" in out
    assert (tmp_path / "run" / "doctor.json").is_file()
    assert 'id="doctor"' in (tmp_path / "run" / "report.html").read_text()
    assert call("doctor", tmp_path / "run") == (0, "doctor: healthy\n", "")


def test_train_warns_with_the_step_and_ends_with_the_finding(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_check(monkeypatch)
    code, out, err = call("train", *SMALL, "--lr", 0.75, "--json", "--out", tmp_path / "run")
    assert code == 0
    assert json.loads(out)["doctor"] == ["learning-rate-too-high"]
    assert f"step 1: {FINDING.says} Use a lower rate." in err
    end = err.split("top-1 ")[1]
    assert "doctor: learning-rate-too-high: The learning rate is too high" in end
    assert FINDING.remedy.words in end


def test_without_the_doctor_nothing_is_seen(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("train", *SMALL, "--doctor", "off", "--json", "--out", tmp_path / "run")
    assert code == 0
    assert json.loads(out)["doctor"] is None
    assert not (tmp_path / "run" / "doctor.json").exists()
    code, out, _ = call("doctor", tmp_path / "run")
    assert code == 0
    assert "nothing is wrong in what its log shows" in out
    assert "could not be seen: layers, gradients" in out


def test_a_run_that_diverges_ends_with_what_the_doctor_makes_of_it(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverged(seen: Observed) -> Finding | None:
        return FINDING if seen.diverged else None

    only_check(monkeypatch, diverged)
    code, _, err = call("train", *SMALL, "--lr", 1e30, "--out", tmp_path / "run")
    assert code == 2
    assert "doctor: learning-rate-too-high" in err
    found = json.loads(call("doctor", tmp_path / "run", "--json")[1])
    assert [finding["cause"] for finding in found["findings"]] == ["learning-rate-too-high"]


def test_a_post_mortem_has_evidence_alternatives_and_options(call: Call, sick: Path) -> None:
    code, out, err = call("doctor", sick)
    assert (code, err) == (0, "")
    for words in (
        "evidence: learning rate: 0.75, above 0.5 (made up)",
        "not exploding-gradients: their norm is 1.5",
        "--set optimizer.lr=0.0625",
        "stem.conv, head.fc",
    ):
        assert words in out
    found = json.loads(call("doctor", sick, "--json")[1])
    assert Finding.from_dict(found["findings"][0]).evidence == FINDING.evidence
    assert (found["healthy"], found["unseen"]) == (False, [])


def test_apply_trains_anew_beside_the_old_run_and_compares(call: Call, sick: Path) -> None:
    code, out, err = call("doctor", sick, "--apply", "--json")
    assert code == 0, err
    applied: dict[str, Any] = json.loads(out)["applied"]
    new = sick.parent / "run-mended"
    assert (applied["run"], applied["doctor"]) == (str(new), [])
    assert applied["changes"] == {"optimizer.lr": "0.0625"}
    was, now = (json.loads((run / "recipe.json").read_text())["recipe"] for run in (sick, new))
    assert now["optimizer"].pop("lr") == 0.0625
    assert was["optimizer"].pop("lr") == 0.75
    assert was == now
    for run, told in ((sick, applied["before"]), (new, applied["after"])):
        assert json.loads((run / "result.json").read_text())["top1"] == told["top1"]
        assert told["top1_low"] <= told["top1"] <= told["top1_high"]
    assert (new / "report.html").is_file()


def test_apply_prints_both_runs_and_the_new_verdict(call: Call, sick: Path) -> None:
    new = sick.parent / "better"
    code, out, err = call("doctor", sick, "--apply", "--quiet", "--out", new)
    assert code == 0, err
    old_line, new_line, verdict = out.splitlines()[-3:]
    assert old_line.startswith(f"{sick}: top-1 ")
    assert new_line.startswith(f"{new}: top-1 ")
    assert verdict == "doctor: healthy"
    data = json.loads((sick / "data.json").read_text())
    (sick / "data.json").write_text(json.dumps({**data, "fingerprint": "0"}))
    shutil.rmtree(new)
    assert "the data have changed" in call("doctor", sick, "--apply", "--quiet", "--out", new)[1]


def test_apply_refuses_what_no_recipe_can_do(
    call: Call, sick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_hand = replace(FINDING, remedy=Remedy("Shuffle the images.", code="shuffle=True"))
    only_check(monkeypatch, lambda seen: by_hand)
    code, _, err = call("doctor", sick, "--apply")
    assert code == 2
    assert "Do it by hand: Shuffle the images. As in: shuffle=True" in err
    only_check(monkeypatch, lambda seen: None)
    code, _, err = call("doctor", sick, "--apply")
    assert code == 2
    assert "healthy, so there is nothing to apply" in err
    assert [path.name for path in sick.parent.iterdir()] == ["run"]


REFUSED = {
    "no such run": (("none",), "no such run: none"),
    "out without apply": (("none", "--out", "x"), "--out without --apply has no effect"),
    "unknown network": (("check", "resnet5O"), "did you mean 'resnet50'?"),
    "recipe of a recipe": (("check", "fast", "--recipe", "default"), "has no effect"),
    "network twice": (("check", "resnet18", "--set", "model.name=resnet34"), "leave out --set"),
    "unknown setting": (("check", "cifar_resnet20", "--set", "lr=1"), "setting"),
    "no data": (("check", "cifar_resnet20", "/no/such/folder"), "/no/such/folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_makes_no_sense_is_refused(call: Call, case: str) -> None:
    words, message = REFUSED[case]
    code, out, err = call("doctor", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_check_passes_what_is_well_and_says_what_it_measured(call: Call) -> None:
    code, out, err = call("doctor", "check", "cifar_resnet20", "digits")
    assert (code, err) == (0, "")
    *tests, verdict = out.splitlines()
    assert len(tests) == 11
    assert all(line.startswith("ok ") for line in tests)
    assert verdict == "doctor: nothing is wrong"


def test_check_ends_with_1_where_something_is_wrong(call: Call, tmp_path: Path) -> None:
    write_tree(tmp_path / "train", {"a": 8, "b": 8})
    write_tree(tmp_path / "val", {"a": 8, "b": 8})  # the same images
    words = ("check", "cifar_resnet20", tmp_path, "--set", "batch_size=8", "--workers", 0)
    code, out, _ = call("doctor", *words, "--json")
    assert code == 1
    found = json.loads(out)
    assert not found["passed"]
    (wrong,) = [test for test in found["tests"] if test["passed"] is False]
    assert wrong["name"] == "training and judging images are apart"
    assert wrong["measured"].startswith("16 of 16 val images are training images")
    assert wrong["remedy"]
