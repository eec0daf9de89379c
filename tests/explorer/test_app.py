"""Opening pages, and a card that fails."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.errors import UserError
from fathom.explorer.app import make_app
from fathom.explorer.controls import slider
from fathom.explorer.page import Card, Page
from fathom.explorer.server import protect
from tests.explorer.test_server import ANSWER, opening


def broken(size: float) -> Any:
    raise ZeroDivisionError(size)


def refused(size: float) -> Any:
    raise UserError(f"size is {size:g}; it must be odd")


PAGES = [
    Page(
        "",
        "Home",
        "A page.",
        [
            Card("double", "Double", lambda size: f"twice is {2 * size:g}", ("size",)),
            Card("broken", "Broken", broken, ("size",)),
            Card("refused", "Refused", refused, ("size",)),
        ],
        [slider("size", "Size", [(0, "0"), (10, "10")], 4.0)],
    ),
    Page("other", "Other", "Another.", [Card("c", "Card", lambda: "elsewhere")]),
]


def answer(body: dict[str, Any]) -> str:
    app = make_app(PAGES)
    protect(app, host="127.0.0.1", token=None)
    found = app.server.test_client().post(ANSWER, json=body)
    assert found.status_code in (200, 204)
    text: str = found.get_data(as_text=True)
    return text


def test_a_page_opens_with_its_cards_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(opening("/"))
    assert "twice is 8" in said
    assert "could not be drawn (ZeroDivisionError)" in said
    assert "size is 4; it must be odd" in said
    assert "ZeroDivisionError" in capsys.readouterr().err, "the terminal has the traceback"


def test_the_address_sets_the_controls(capsys: pytest.CaptureFixture[str]) -> None:
    asked = opening("/")
    asked["inputs"][1]["value"] = "?size=3"
    assert "twice is 6" in answer(asked)


def test_other_pages_have_their_own_address() -> None:
    assert "elsewhere" in answer(opening("/other"))
    assert "No such page" in answer(opening("/../etc"))


def test_what_is_shown_already_is_not_made_anew() -> None:
    """Back and forward between addresses are, and so is the same search on another page."""
    for written, anew in (("/?size=3", False), ("/?size=5", True), ("/other?size=3", True)):
        asked = opening("/")
        asked["inputs"][1]["value"] = "?size=3"
        asked["state"][0]["value"] = written
        assert ("twice is 6" in answer(asked)) == anew


def test_a_control_draws_its_cards_anew() -> None:
    body = {
        "output": "home-double.children",
        "outputs": {"id": "home-double", "property": "children"},
        "inputs": [{"id": "home-size", "property": "value", "value": 7}],
        "changedPropIds": ["home-size.value"],
    }
    assert "twice is 14" in answer(body)
