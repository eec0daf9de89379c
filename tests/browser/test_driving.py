"""Where there is no browser, the tests say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import driving


def test_without_a_browser_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    said = driving.missing()
    assert said is not None
    script = said.partition("; ")[2].split()[0]
    assert (Path(__file__).parents[2] / script).is_file()


def test_with_one_there_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    assert driving.missing() is None
