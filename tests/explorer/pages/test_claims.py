"""The rows on the page are the ledger's."""

from __future__ import annotations

from typing import Any

import pytest

import fathom
from fathom.explorer import judging
from fathom.explorer.judging import Judging
from fathom.explorer.pages import claims
from fathom.explorer.pages.claims import draw_rows, page
from fathom.ledger import all_claims
from tests.explorer.reading import text_of


@pytest.fixture(scope="module")
def judged() -> Judging:
    """The ledger, with the rows of one section judged."""
    made = Judging()
    made.rows([i for i in all_claims() if i.startswith("resnet.")], wait=60.0)
    return made


def test_rows_are_those_of_the_ledger(judged: Judging) -> None:
    rows = fathom.claims("resnet.*")
    said = text_of(draw_rows(judged, "any", "any", "resnet"))
    assert f"{len(rows)} claims: " in said
    places = [said.index(row.explanation) for row in rows]
    assert places == sorted(places), "in the ledger's order"
    for row in rows:
        assert row.id in said
        assert row.verdict in said


def test_a_verdict_a_kind_and_words_filter(judged: Judging) -> None:
    rows = fathom.claims("resnet.*")
    said = text_of(draw_rows(judged, "exact", "any", "resnet"))
    assert all((row.explanation in said) == (row.verdict == "exact") for row in rows)
    said = text_of(draw_rows(judged, "any", "computed", "resnet"))
    assert all((row.explanation in said) == (row.kind == "computed") for row in rows)
    said = text_of(draw_rows(judged, "any", "any", "resnet", "  GRADIENT highway "))
    kept = [row for row in rows if row.explanation in said]
    assert [row.id for row in kept] == ["resnet.gradient_highway"]
    assert "No claim has this" in text_of(draw_rows(judged, "wrong", "experiment", "resnet"))
    assert "No claim has this" in text_of(draw_rows(judged, "any", "any", "any", "<b>zebra"))


def test_rows_come_as_they_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits: those that take long are counted, the others are there."""
    monkeypatch.setattr(claims, "_WAIT", 0.0)
    asked: list[str] = []

    class Half(Judging):
        def rows(self, ids: Any, *, wait: float = 0.0) -> Any:
            asked.extend(ids)
            return [row for row in fathom.claims("bn.*") if row.kind == "experiment"]

    said = text_of(draw_rows(Half(), "any", "any", "bn"))
    ledger = all_claims()
    known = [claim for claim in ledger.values() if claim.id.startswith("bn.")]
    quick = [claim for claim in known if claim.kind == "experiment"]
    assert 0 < len(quick) < len(known), "the case is there"
    assert f"{len(quick)} of {len(known)} claims are judged so far" in said
    kinds = [ledger[identifier].kind in ("computed", "behaviour") for identifier in asked]
    assert kinds == sorted(kinds), "what is quick comes first"


def test_making_the_page_judges_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(identifier: str) -> Any:
        raise AssertionError(identifier)

    monkeypatch.setattr(judging, "claims", refuse)
    assert page().read("")["section"] == "resnet"


def test_the_address_filters() -> None:
    assert page().read("?verdict=wrong&section=bn&words=scale+and+shift") == {
        "verdict": "wrong",
        "kind": "any",
        "section": "bn",
        "words": "scale and shift",
    }
