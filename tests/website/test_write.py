"""Writing a site: whole or not at all, and over nothing but an earlier one."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from fathom.errors import UserError
from fathom.report.markup import el
from fathom.report.page import Sheet
from fathom.website import write_site

PAGES = [("index.html", Sheet("First", el("p", "first"))), ("a/b.html", Sheet("B", el("p", "b")))]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def entries(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fathom.website.frame.get_plotlyjs", lambda: "plotly")


def test_what_is_said_to_be_written_is_there(tmp_path: Path) -> None:
    site = write_site(tmp_path / "new" / "site", PAGES)
    there = contents(tmp_path / "new" / "site")
    assert site.folder == tmp_path / "new" / "site"
    assert list(site.files) == sorted(there)
    assert site.bytes == sum(map(len, there.values()))
    assert site.pages == 2
    assert json.loads(there["site.json"])["files"] == list(site.files)
    assert there["assets/plotly.min.js"] == b"plotly"
    assert entries(tmp_path / "new") == ["site"]


def test_others_may_read_it(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    mode = stat.S_IMODE(plain.stat().st_mode)
    site = write_site(tmp_path / "site", PAGES)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (site.folder, site.folder / "a")} == {
        mode
    }


def test_a_second_export_replaces_the_first_whole(tmp_path: Path) -> None:
    write_site(tmp_path / "site", PAGES)
    site = write_site(tmp_path / "site", PAGES[:1])
    there = contents(tmp_path / "site")
    assert "a/b.html" not in there
    assert sorted(there) == list(site.files)
    assert entries(tmp_path) == ["site"]


def test_an_empty_folder_and_a_link_to_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_site(tmp_path / "link", PAGES)
    assert (tmp_path / "link").is_symlink()
    assert "index.html" in contents(tmp_path / "real")


@pytest.mark.parametrize("file", ["notes.txt", ".git/config", "a/mine.html", "site.json"])
def test_what_no_export_has_written_is_refused_by_name(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "site"
    if file != "site.json":
        write_site(folder, PAGES)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text('{"files": ["site.json"]}')
    before = contents(folder)

    def never() -> Iterator[tuple[str, Sheet]]:
        raise AssertionError("it should have been refused before any work")
        yield

    with pytest.raises(UserError, match=f"holds {file}, which no export has written"):
        write_site(folder, never())
    assert contents(folder) == before
    assert entries(tmp_path) == ["site"]


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "site").write_text("mine")
    with pytest.raises(UserError, match="is a file"):
        write_site(tmp_path / "site", PAGES)
    with pytest.raises(UserError, match="export elsewhere"):
        write_site(tmp_path / "site" / "below", PAGES)
    assert (tmp_path / "site").read_text() == "mine"


@pytest.mark.parametrize("reason", [KeyboardInterrupt, UserError("no")])
def test_broken_off_it_leaves_the_earlier_site(
    tmp_path: Path, reason: type[BaseException] | BaseException
) -> None:
    write_site(tmp_path / "site", PAGES)
    before = contents(tmp_path / "site")

    def broken() -> Iterator[tuple[str, Sheet]]:
        yield "index.html", Sheet("Other", el("p", "other"))
        raise reason

    with pytest.raises((KeyboardInterrupt, UserError)):
        write_site(tmp_path / "site", broken())
    assert contents(tmp_path / "site") == before
    assert entries(tmp_path) == ["site"]


def test_what_came_meanwhile_is_not_lost(tmp_path: Path) -> None:
    write_site(tmp_path / "site", PAGES)

    def meanwhile() -> Iterator[tuple[str, Sheet]]:
        yield PAGES[0]
        (tmp_path / "site" / "mine.txt").write_text("mine")

    with pytest.raises(UserError, match=r"holds mine\.txt"):
        write_site(tmp_path / "site", meanwhile())
    assert (tmp_path / "site" / "mine.txt").read_text() == "mine"


def test_where_the_last_step_fails_the_earlier_site_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_site(tmp_path / "site", PAGES)
    before = contents(tmp_path / "site")
    rename = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self.name == "new":
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UserError, match="Device or resource busy; export elsewhere"):
        write_site(tmp_path / "site", PAGES[:1])
    assert contents(tmp_path / "site") == before
    assert entries(tmp_path) == ["site"]
