"""The ledger in a thread: every row once, and those that are asked for last first."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

import fathom
from fathom.explorer import judging
from fathom.explorer.judging import Judging

SECONDS = 30.0  # longer than anything here takes


def test_rows_are_those_of_the_ledger() -> None:
    ids = [row.id for row in fathom.claims("bn.*")]
    assert Judging().rows(ids, wait=SECONDS) == fathom.claims("bn.*")


class Court:
    """Judges whose order is known, and which wait to be let on."""

    def __init__(self) -> None:
        self.judged: list[str] = []
        self.go = threading.Semaphore(0)
        self.begun = threading.Semaphore(0)

    def __call__(self, identifier: str) -> list[Any]:
        self.begun.release()
        assert self.go.acquire(timeout=SECONDS)
        self.judged.append(identifier)
        if identifier == "broken":
            raise ZeroDivisionError
        return [identifier.upper()]

    def let(self, count: int) -> None:
        for _ in range(count):
            self.go.release()


@pytest.fixture
def court(monkeypatch: pytest.MonkeyPatch) -> Court:
    made = Court()
    monkeypatch.setattr(judging, "claims", made)
    return made


def test_nobody_waits_for_more_than_is_said(court: Court) -> None:
    found = Judging()
    assert found.rows(["a", "b"]) == []
    assert len(found) == 0
    court.let(2)
    assert list[Any](found.rows(["a", "b"], wait=SECONDS)) == ["A", "B"]
    assert len(found) == 2


def test_what_is_asked_for_last_comes_first_and_nothing_twice(court: Court) -> None:
    found = Judging()
    found.rows(["a", "b", "c"])
    assert court.begun.acquire(timeout=SECONDS)  # a is being judged
    found.rows(["c", "x"])
    found.rows(["x", "c"])
    court.let(4)
    until = time.monotonic() + SECONDS
    while len(found) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    assert list[Any](found.rows(["a", "b", "c", "x"])) == ["A", "B", "C", "X"]
    assert court.judged == ["a", "x", "c", "b"]
    assert list[Any](found.rows(["c"])) == ["C"]
    assert court.judged == ["a", "x", "c", "b"]


def test_a_judge_that_fails_stops_no_other(court: Court) -> None:
    found = Judging()
    court.let(3)
    with pytest.raises(ZeroDivisionError):
        found.rows(["broken", "a"], wait=SECONDS)
    assert list[Any](found.rows(["a"], wait=SECONDS)) == ["A"]
    assert list[Any](found.rows(["b"], wait=SECONDS)) == ["B"], (
        "a thread that has ended starts again"
    )
