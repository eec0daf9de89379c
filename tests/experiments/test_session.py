"""The session: cells in their order, kept and made again, with the same values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fathom.errors import UserError
from fathom.experiments import Measured, Plan, Record, Stepping, Timed, read_results, resume, run
from tests.experiments import small


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    small.install(monkeypatch)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[Record]]]:
    """A finished experiment and all that it said."""
    folder = tmp_path_factory.mktemp("experiment") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        small.install(patch)
        yield folder, list(run(small.plan(), folder))


def test_all_arms_of_a_seed_come_before_the_next_seed(whole: tuple[Path, list[Record]]) -> None:
    folder, records = whole
    measured = [record for record in records if isinstance(record, Measured)]
    assert [(m.arm, m.seed) for m in measured] == [
        ("slow", 0),
        ("fast arm", 0),
        ("slow", 1),
        ("fast arm", 1),
    ]
    assert [(m.done, m.planned) for m in measured] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    shares = [record.share for record in records if isinstance(record, Stepping)]
    assert shares == [pytest.approx((step + 1) / 12) for step in range(12)]
    assert small.cell_files(folder) == [
        "fast-arm-0.json",
        "fast-arm-1.json",
        "slow-0.json",
        "slow-1.json",
    ]


def test_seeds_and_arms_differ(whole: tuple[Path, list[Record]]) -> None:
    results = small.last(whole[1]).results
    found = [results.cells[arm][seed]["weights"] for arm in results.arms for seed in (0, 1)]
    assert len(set(found)) == 4
    assert all(len(losses) == 3 for arm in results.arms for losses in results.values(arm, "losses"))


def test_the_setting_says_what_was_done(whole: tuple[Path, list[Record]]) -> None:
    setting = small.last(whole[1]).results.setting
    assert (setting["images"], setting["steps"], setting["batch_size"]) == (40, 3, 16)
    assert setting["epochs"] == 3 * 16 / 40
    assert (setting["image_size"], setting["judge"], setting["seeds"]) == (8, "val", [0, 1])


def test_results_are_read_back_and_their_findings_made_again(
    whole: tuple[Path, list[Record]],
) -> None:
    folder, records = whole
    finished = small.last(records)
    results, stored = read_results(folder / "results.json")
    assert results == finished.results
    assert stored["findings"] == json.loads(json.dumps(small.findings(results).to_dict()))
    assert (stored["title"], stored["claims"]) == ("Which learns faster?", ["a.claim"])


def test_what_is_measured_is_kept_and_what_broke_off_is_made_again(
    whole: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole[0], folder)
    (folder / "cells" / "fast-arm-0.json").unlink()  # its run folder stays, as after a kill
    (folder / "results.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (folder / "cells").glob("*.json")}
    records = list(resume(folder))
    assert [(m.arm, m.seed, m.done) for m in records if isinstance(m, Measured)] == [
        ("fast arm", 0, 4)
    ]
    assert small.last(records).results.cells == small.last(whole[1]).results.cells
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_one_left_in_the_middle_of_a_training_ends_with_the_same_values(
    whole: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    stream = run(small.plan(), tmp_path / "run")
    for record in stream:
        if isinstance(record, Stepping) and (record.arm, record.step) == ("fast arm", 2):
            break
    stream.close()
    assert small.cell_files(tmp_path / "run") == ["slow-0.json"]
    assert not (tmp_path / "run" / "results.json").exists()
    again = small.last(list(resume(tmp_path / "run")))
    assert again.results.cells == small.last(whole[1]).results.cells
    assert again.findings == small.last(whole[1]).findings


def test_minutes_become_steps_once_and_hold(tmp_path: Path) -> None:
    folder = tmp_path / "timed"
    stream = run(small.plan(minutes=0.01, steps=None, seeds=(0,)), folder)
    timed = next(stream)
    stream.close()
    assert isinstance(timed, Timed)
    assert timed.steps == int(0.85 * 60 * 0.01 / timed.seconds)
    stored = Plan.read(folder)
    assert (stored.minutes, stored.steps) == (0.01, timed.steps)
    assert not (folder / "timing").exists()
    records = list(resume(folder))
    assert not any(isinstance(record, Timed) for record in records)
    taken = {len(m.values["losses"]) for m in records if isinstance(m, Measured)}
    assert taken == {timed.steps}


def test_minutes_for_not_one_step_are_refused_and_the_folder_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "timed"
    with pytest.raises(UserError, match=r"allow not one step.*allow more"):
        list(run(small.plan(minutes=1e-9, steps=None), folder))
    assert not list(folder.iterdir())


def test_a_training_that_diverges_is_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small.install(monkeypatch, {"slow": 0.01, "wild": 1e30})
    finished = small.last(list(run(small.plan(seeds=(0,)), tmp_path / "wild")))
    slow, wild = (finished.results.cells[arm][0] for arm in ("slow", "wild"))
    assert slow["diverged"] is None
    assert 0 < wild["diverged"] == len(wild["losses"]) < 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 99}', "of another format"),
        ("{", "cannot be read"),
        (None, "cannot be read"),
    ],
)
def test_results_that_are_none_are_refused(text: str | None, message: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=message):
        read_results(tmp_path / "results.json")


def test_a_folder_in_use_is_refused(whole: tuple[Path, list[Record]]) -> None:
    with pytest.raises(UserError, match="exists and is not empty"):
        next(run(small.plan(), whole[0]))


def test_nothing_is_written_for_a_setting_that_cannot_be_used(tmp_path: Path) -> None:
    planned = small.plan()
    wrong = replace(planned, setting=replace(planned.setting, device="cuda:77"))
    with pytest.raises(UserError, match="not on this machine"):
        next(run(wrong, tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_two_arms_of_one_file_are_a_bug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small.install(monkeypatch, {"an arm": 0.1, "an-arm": 0.2})
    with pytest.raises(AssertionError, match="share a name"):
        next(run(small.plan(), tmp_path / "new"))
