"""`fathom explore`: what it prints, what it refuses, and that Ctrl-C ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from fathom.cli import explore as command
from fathom.cli import main
from fathom.report.markup import el
from fathom.report.page import Sheet


def refused(
    capsys: pytest.CaptureFixture[str], *arguments: str, beside: tuple[str, ...] = ("--no-browser",)
) -> str:
    with pytest.raises(SystemExit) as end:
        main(["explore", *beside, *arguments])
    assert end.value.code == 2
    said = capsys.readouterr()
    assert not said.out
    (line,) = said.err.splitlines()
    return line


def test_without_its_packages_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert "pip install 'fathom[explore]'" in refused(capsys)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--port", "70000"), "port is 70000; it must be from 0 to 65535"),
        (("--port", "many"), "many"),
        (("--host", "no.such.host.invalid"), "choose another with --port or --host"),
    ],
)
def test_what_cannot_be_listened_on_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(capsys, *arguments)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_serves_until_ctrl_c(tmp_path: Path, host: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "fathom", "explore", "--no-browser", "--port", "0", "--host", host],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().removeprefix("fathom explorer: ").strip()
        bare = address.partition("?")[0].replace("0.0.0.0", "127.0.0.1")
        if host == "127.0.0.1":
            assert "token" not in address
            with urlopen(bare) as page:
                assert b"Fathom" in page.read()
        else:
            assert "?token=" in address
            with pytest.raises(HTTPError, match="403"):
                urlopen(bare)
    finally:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert said == "stop it with Ctrl-C\n"


@pytest.fixture
def two_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A site of two pages, which is written without the packages of the explorer."""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    sheet = Sheet("T", el("p", "text"))
    made = [("index.html", sheet), ("runs/index.html", sheet)]
    monkeypatch.setattr("fathom.website.pages", lambda runs: iter(made))


@pytest.mark.usefixtures("two_pages")
def test_an_export_says_what_it_wrote_in_a_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["explore", "--export", str(tmp_path / "site")])
    said = capsys.readouterr()
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert said.out.startswith(
        f"site: {tmp_path / 'site' / 'index.html'}, 2 pages, {size / 1e6:.1f} MB, "
    )
    assert said.out.count("\n") == 1
    assert not said.err


@pytest.mark.usefixtures("two_pages")
def test_an_export_says_what_it_wrote_as_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["explore", "--export", str(tmp_path / "site"), "--json"])
    said = json.loads(capsys.readouterr().out)
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert said.pop("seconds") >= 0
    assert said == {
        "site": str(tmp_path / "site"),
        "pages": 2,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
    }


@pytest.mark.parametrize("idle", [("--port", "8050"), ("--host", "127.0.0.1"), ("--no-browser",)])
def test_what_has_no_effect_on_an_export_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, idle: tuple[str, ...]
) -> None:
    said = refused(capsys, "--export", str(tmp_path / "site"), beside=idle)
    assert f"{idle[0]} has no effect with --export" in said
    assert not (tmp_path / "site").exists()


def test_an_export_refuses_what_it_would_lose_and_runs_that_are_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").touch()
    said = refused(capsys, "--export", str(tmp_path), beside=())
    assert f"{tmp_path} holds mine.txt, which no export has written" in said
    away = str(tmp_path / "away")
    said = refused(capsys, "--export", str(tmp_path / "site"), "--runs", away, beside=())
    assert f"there is no folder {away} of runs" in said
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
