"""The run folder."""

from pathlib import Path

import pytest

from fathom.errors import UserError
from fathom.training.run import Run, next_folder, write_bytes
from tests.training.test_settings import a_recipe


def test_a_run_comes_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", a_recipe(), "fathom train")
    assert Run.open(run.folder).recipe() == a_recipe()


def test_a_used_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match=r"not empty; choose another with --out"):
        Run.create(tmp_path, a_recipe(), None)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(UserError, match="is a file"):
        Run.create(tmp_path / "mine.txt", a_recipe(), None)


def test_missing_foreign_and_damaged_runs_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run"):
        Run.open(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a run folder"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text("{half")
    with pytest.raises(UserError, match="damaged"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="another format"):
        Run.open(tmp_path)
    (tmp_path / "recipe.json").write_text("[1]")
    with pytest.raises(UserError, match="another format"):
        Run.open(tmp_path)


def test_runs_are_numbered(tmp_path: Path) -> None:
    assert next_folder("a", tmp_path) == tmp_path / "a"
    (tmp_path / "a").mkdir()
    (tmp_path / "a-2").mkdir()
    assert next_folder("a", tmp_path) == tmp_path / "a-3"


def test_a_torn_last_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", a_recipe(), None)
    run.metrics.write_text('{"kind": "step", "step": 1}\n{"kind": "st')
    assert list(run.read_metrics()) == [{"kind": "step", "step": 1}]


def test_names_that_are_not_utf8_come_back(tmp_path: Path) -> None:
    run = Run.create(tmp_path / "run", a_recipe(), None)
    name = b"caf\xe9.png".decode("utf-8", "surrogateescape")
    run.write("data", {"bad": name, "good": "café ☕"})
    assert run.read("data")["bad"] == name
    assert run.read("data")["good"] == "café ☕"
    run.write_split([(name, "a", "train")])
    assert b"caf\xe9.png" in (run.folder / "split.csv").read_bytes()


def test_a_write_replaces_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"one")
    write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]
