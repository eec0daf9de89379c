"""Cards that follow: drawn anew when something has changed, in place where they can be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from dash import html

from fathom.explorer.app import make_app
from fathom.explorer.controls import several, slider
from fathom.explorer.live import following
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import graph, page_layout
from fathom.figures.paper import new_figure
from tests.explorer.reading import components, text_of
from tests.explorer.test_server import ANSWER


class World:
    """What goes on: a count, which names there are, and whether more is to be said."""

    def __init__(self) -> None:
        self.count, self.names, self.more = 1, ["a", "b"], False

    def draw(self, names: Sequence[str], size: float) -> Any:
        if self.count < 0:
            raise ZeroDivisionError
        plot = graph("w-plot", new_figure([]), describes=f"{self.count} seen")
        said = html.P(f"{self.count} times {size:g} of {','.join(names)}")
        return [said, html.Div([plot]), *([html.P("more")] if self.more else [])]

    def page(self) -> Page:
        made = Page(
            "w",
            "World",
            "A page.",
            [
                Card("live", "Live", self.draw, ("names", "size")),
                Card("still", "Still", lambda names: "still", ("names",)),
            ],
            [
                several("names", "Names", ["a", "b"], ["a"]),
                slider("size", "Size", [(0, "0"), (9, "9")], 3),
            ],
        )
        return following(made, ["live"], self.stamp, options=lambda: self.names)

    def stamp(self, names: Sequence[str]) -> str:
        return f"{self.count} {names}"


def shown(inside: Any) -> Any:
    """What a drawing says of itself."""
    found: list[Any] = [*components(inside)]
    return next(c.data for c in found if getattr(c, "id", "") == "w-live-shown")


def look(world: World, before: Any, names: Sequence[str] = ("a",)) -> dict[str, Any] | None:
    """What the browser gets when it asks; None where nothing is sent."""
    app = make_app([world.page()])
    output = next(key for key in app.callback_map if "w-live-shown" in key)
    found = app.server.test_client().post(
        ANSWER,
        json={
            "output": output,
            "outputs": [
                {"id": "w-live", "property": "children"},
                {"id": "w-live-shown", "property": "data"},
            ],
            "inputs": [{"id": "w-names-clock", "property": "n_intervals", "value": 5}],
            "state": [
                {"id": "w-live-shown", "property": "data", "value": before},
                {"id": "w-names", "property": "value", "value": list(names)},
                {"id": "w-size", "property": "value", "value": 3},
            ],
            "changedPropIds": ["w-names-clock.n_intervals"],
        },
    )
    assert found.status_code in (200, 204), found.get_data(as_text=True)
    return None if found.status_code == 204 else json.loads(found.data)


@pytest.fixture
def world() -> World:
    return World()


def drawing(world: World, names: Sequence[str] = ("a",)) -> Any:
    return page_layout(world.page(), {"names": list(names), "size": 3.0})


def test_nothing_is_sent_while_nothing_has_changed(world: World) -> None:
    assert look(world, shown(drawing(world))) is None


def test_what_has_changed_changes_in_place(world: World) -> None:
    before = shown(drawing(world))
    world.count = 2
    found = look(world, before)
    assert found is not None
    sent = found["sideUpdate"]
    assert sent["w-plot-box"] == {"aria-label": "2 seen"}
    assert "data" in sent["w-plot"]["figure"]
    assert "2 times 3 of a" in json.dumps(sent["w-live-0"])
    assert "children" not in json.dumps(found["response"]), "the figure itself stays"
    assert found["response"]["w-live-shown"]["data"] == shown(drawing(world))


def test_other_pieces_are_drawn_as_a_whole(world: World) -> None:
    before = shown(drawing(world))
    world.count, world.more = 2, True
    found = look(world, before)
    assert found is not None
    assert "more" in json.dumps(found["response"])
    assert "sideUpdate" not in found


def test_every_tab_gets_what_it_lacks(world: World) -> None:
    """Two that show different things, and one that slept through all of it."""
    old = shown(drawing(world))
    world.count = 2
    new = shown(drawing(world))
    for _ in range(2):
        assert look(world, old) is not None
        assert look(world, new) is None
    assert look(world, new, ("b",)) is not None, "another choice has another stamp"
    assert look(world, None) is not None


def test_a_drawing_that_fails_says_so_and_goes_on(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    before = shown(drawing(world))
    world.count = -1
    found = look(world, before)
    assert "could not be drawn (ZeroDivisionError)" in json.dumps(found)
    assert "ZeroDivisionError" in capsys.readouterr().err
    broken = shown(drawing(world))
    world.count = 3
    assert "3 times" in json.dumps(look(world, broken))


def test_other_cards_stay_as_they_were(world: World) -> None:
    page = world.page()
    still = next(card for card in page.cards if card.name == "still")
    assert still.draw(names=["a"]) == "still"
    assert "still" in text_of(drawing(world))


def test_the_control_offers_what_is_there_now(world: World) -> None:
    app = make_app([world.page()])
    output = next(key for key in app.callback_map if key.startswith("w-names.data"))

    def offered(before: Sequence[str]) -> Any:
        body = {
            "output": output,
            "outputs": {"id": "w-names", "property": "data"},
            "inputs": [{"id": "w-names-clock", "property": "n_intervals", "value": 5}],
            "state": [{"id": "w-names", "property": "data", "value": list(before)}],
            "changedPropIds": ["w-names-clock.n_intervals"],
        }
        return app.server.test_client().post(ANSWER, json=body)

    assert offered(["a", "b"]).status_code == 204
    world.names = ["a", "b", "c"]
    assert b'["a","b","c"]' in offered(["a", "b"]).data
