"""Pages that follow what goes on, and cost next to nothing while nothing does.

Every few seconds the browser asks whether anything has changed. What it shows carries a stamp, so
nothing depends on what the server has sent before: every tab, and one that slept for hours, gets
what it lacks. Figures change in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from dash import Dash, Input, Output, State, dcc, html, no_update, set_props
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate

from fathom.explorer.controls import Value
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import drawn

Stamp = Callable[[Any], str]
Options = Callable[[], list[str]]
_AS_INSIDE = {"display": "contents"}  # a box that changes nothing of how its inside is laid out


def following(
    page: Page,
    cards: Sequence[str],
    stamp: Stamp,
    *,
    options: Options | None = None,
    seconds: float = 2.0,
) -> Page:
    """The page, with these cards drawn anew once the stamp is another than that of what is shown.

    stamp: the value of the page's first control, which each of the cards uses -> a text that
    changes whenever they would. options: what that control offers, where this changes as well.
    """
    first = page.controls[0]
    live = [_stamped(page, card, first.name, stamp) for card in page.cards if card.name in cards]

    def make(identifier: str, value: Value) -> Any:
        clock = dcc.Interval(id=f"{identifier}-clock", interval=1000 * seconds)
        return html.Div([first.make(identifier, value), clock], style=_AS_INSIDE)

    def wire(app: Dash, identifier: str) -> None:
        if first.wire is not None:
            first.wire(app, identifier)
        for card in live:
            _watch(app, page, card, stamp)
        if options is not None:
            _offer(app, identifier, options)

    by_name = {card.name: card for card in live}
    return replace(
        page,
        controls=(replace(first, make=make, wire=wire), *page.controls[1:]),
        cards=[by_name.get(card.name, card) for card in page.cards],
    )


def _stamped(page: Page, card: Card, control: str, stamp: Stamp) -> Card:
    """The card with a stamp on what is drawn, and with names for the pieces that may change."""
    identifier = page.identifier(card.name)

    def draw(**values: Any) -> list[Any]:
        now = stamp(values[control])  # before the drawing, which may know more, but never less
        inside = drawn(card, values)
        parts = list(inside) if isinstance(inside, list | tuple) else [inside]
        for place, part in enumerate(parts):
            boxes = list(_boxes(part))
            for box in boxes:
                box.id = f"{box.children.id}-box"
            if not boxes:
                parts[place] = html.Div(part, id=f"{identifier}-{place}", style=_AS_INSIDE)
        shown = dcc.Store(id=f"{identifier}-shown", data=[now, [*_pieces(parts)]])
        return [*parts, shown]

    return replace(card, draw=draw)


def _boxes(part: Any) -> Iterator[Any]:
    """The boxes of the figures in a part."""
    inside = getattr(part, "children", None) if isinstance(part, Component) else None
    if isinstance(inside, dcc.Graph):
        yield part
        return
    for child in inside if isinstance(inside, list | tuple) else [inside]:
        if child is not None:
            yield from _boxes(child)


def _pieces(parts: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """What may change in the parts of a card: an id, and its properties."""
    pieces: dict[str, dict[str, Any]] = {}
    for part in parts:
        boxes = list(_boxes(part))
        for box in boxes:
            pieces[box.id] = {"aria-label": getattr(box, "aria-label", "")}
            pieces[box.children.id] = {"figure": box.children.figure}
        if not boxes:
            pieces[part.id] = {"children": part.children}
    return pieces


def _watch(app: Dash, page: Page, card: Card, stamp: Stamp) -> None:
    first, identifier = page.controls[0], page.identifier(card.name)

    @app.callback(
        Output(identifier, "children", allow_duplicate=True),
        Output(f"{identifier}-shown", "data"),
        Input(f"{page.identifier(first.name)}-clock", "n_intervals"),
        State(f"{identifier}-shown", "data"),
        *[State(page.identifier(name), page.control(name).prop) for name in card.uses],
        prevent_initial_call=True,
    )
    def look(_: int | None, shown: list[Any] | None, *found: Any) -> tuple[Any, Any]:
        values = dict(zip(card.uses, found, strict=True))
        before, pieces_before = shown or (None, None)
        if stamp(values[first.name]) == before:
            raise PreventUpdate
        *parts, store = inside = card.draw(**values)
        pieces = _pieces(parts)
        if [*pieces] != pieces_before:
            return inside, no_update
        for piece, properties in pieces.items():
            set_props(piece, properties)
        return no_update, store.data


def _offer(app: Dash, identifier: str, options: Options) -> None:
    @app.callback(
        Output(identifier, "data", allow_duplicate=True),
        Input(f"{identifier}-clock", "n_intervals"),
        State(identifier, "data"),
        prevent_initial_call=True,
    )
    def offer(_: int | None, offered: list[Any]) -> list[str]:
        now = options()
        if now == offered:
            raise PreventUpdate
        return now
