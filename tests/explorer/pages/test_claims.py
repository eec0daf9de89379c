"""The rows on the page are the ledger's."""

from __future__ import annotations

import fathom
from fathom.explorer.pages.claims import draw_rows, page
from tests.explorer.reading import text_of


def test_rows_are_those_of_the_ledger() -> None:
    rows = fathom.claims("resnet.*")
    said = text_of(draw_rows("any", "any", "resnet"))
    assert f"{len(rows)} claims" in said
    for row in rows:
        assert row.id in said
        assert row.verdict in said
        assert row.explanation in said


def test_a_verdict_and_a_kind_filter() -> None:
    rows = fathom.claims("resnet.*")
    said = text_of(draw_rows("exact", "any", "resnet"))
    assert all((row.explanation in said) == (row.verdict == "exact") for row in rows)
    said = text_of(draw_rows("any", "computed", "resnet"))
    assert all((row.explanation in said) == (row.kind == "computed") for row in rows)
    assert "No claim has this" in text_of(draw_rows("wrong", "experiment", "resnet"))


def test_the_address_filters() -> None:
    assert page().read("?verdict=wrong&section=bn") | {} == {
        "verdict": "wrong",
        "kind": "any",
        "section": "bn",
    }
