"""Opening pages, and a card that fails."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest

from fathom.errors import UserError
from fathom.explorer.app import make_app
from fathom.explorer.controls import slider
from fathom.explorer.page import Card, Page
from fathom.explorer.server import protect
from fathom.explorer.shell import drawn
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


def written(search: str, size: float | None, pathname: str = "/") -> str:
    """What the page makes of an address when the control of its home page has a value."""
    app = make_app(PAGES)
    asks = app.server.test_client().get("/_dash-dependencies").get_json()
    (found,) = [ask for ask in asks if ask["output"].startswith("..address.search@")]
    names = found["output"].strip(".").split("...")
    body = {
        "output": found["output"],
        "outputs": [dict(zip(("id", "property"), name.split("."), strict=True)) for name in names],
        "inputs": [{"id": "home-size", "property": "value", "value": size}],
        "state": [
            {"id": "address", "property": "pathname", "value": pathname},
            {"id": "address", "property": "search", "value": search},
        ],
        "changedPropIds": ["home-size.value"],
    }
    text: str = app.server.test_client().post(ANSWER, json=body).get_data(as_text=True)
    return text


def test_what_is_set_is_written_into_the_address() -> None:
    assert '"?size=7"' in written("", 7)
    assert '"?size=7"' in written("?size=3", 7)
    assert '"search":""' in written("?size=3", 4)


def test_an_address_that_says_it_already_stays_as_it_is() -> None:
    """Else the page, which sets its controls when it opens, would add one, and Back led nowhere."""
    for search, size in (("", 4), ("?size=4", 4), ("?size=3.0", 3), ("?size=99&other=1", 4)):
        assert json.loads(written(search, size))["response"] == {}, search


def test_a_page_that_was_left_writes_nothing() -> None:
    """Its controls are gone by then, and have no values."""
    for size in (7, None):
        assert json.loads(written("", size, "/other"))["response"] == {}


def test_the_language_is_named() -> None:
    app = make_app(PAGES)
    assert '<html lang="en">' in app.server.test_client().get("/").get_data(as_text=True)


def test_one_card_is_drawn_at_a_time() -> None:
    """The random generator of PyTorch is the process's."""
    inside, most = [], []

    def draw() -> str:
        inside.append(1)
        time.sleep(0.02)
        most.append(len(inside))
        inside.pop()
        return "drawn"

    card = Card("c", "Card", draw)
    threads = [threading.Thread(target=drawn, args=(card, {})) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]
