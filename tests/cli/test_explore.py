"""`fathom explore`: what it prints, what it refuses, and that Ctrl-C ends it."""

from __future__ import annotations

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


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["explore", "--no-browser", *arguments])
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
