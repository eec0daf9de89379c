"""The explorer as a Dash application: routes, and a callback for every card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dash import Dash, Input, Output, State, html, no_update

from fathom.errors import UserError
from fathom.explorer.page import Action, Card, Click, Page
from fathom.explorer.shell import drawn, message, page_layout, shell

_TITLE = "Fathom"


def make_app(pages: Sequence[Page]) -> Dash:
    """The application of these pages, the first of which is the home page."""
    app = Dash(
        "fathom.explorer",
        title=_TITLE,
        update_title="",
        suppress_callback_exceptions=True,  # the controls of a page are there once it is open
        serve_locally=True,
        compress=False,
        assets_folder=str(Path(__file__).with_name("assets")),
    )
    app.index_string = app.index_string.replace("<html>", '<html lang="en">')
    app.layout = shell(pages)
    _route(app, pages)
    for page in pages:
        _keep_address(app, page)
        for control in page.controls:
            if control.wire is not None:
                control.wire(app, page.identifier(control.name))
        for card in page.cards:
            if card.uses:
                _redraw(app, page, card)
        for action in page.actions:
            _press(app, page, action)
        for click in page.clicks:
            _follow_click(app, page, click)
    return app


def _route(app: Dash, pages: Sequence[Page]) -> None:
    """Show the page of an address. What is shown already, because the page itself has just written
    its address, stays: a slider that is dragged must not be made anew."""
    by_path = {page.path: page for page in pages}

    @app.callback(
        Output("main", "children"),
        Output("written", "data"),
        Input("address", "pathname"),
        Input("address", "search"),
        State("written", "data"),
    )
    def open_page(pathname: str | None, search: str | None, written: str | None) -> Any:
        path = _path(pathname)
        here = f"/{path}{search or ''}"
        if written == here:
            return no_update, no_update
        page = by_path.get(path)
        if page is None:
            nothing = html.P("The address names none; choose one above.")
            return [html.H1("No such page"), nothing], here
        return page_layout(page, page.read(search)), here


def _path(pathname: str | None) -> str:
    """The page's path in an address."""
    return (pathname or "").strip("/")


def _keep_address(app: Dash, page: Page) -> None:
    """Write what is set into the address. One that says it already stays, in whatever words: a page
    that has just been opened would else add one more, and the way back would lead here again."""
    if not page.controls:
        return
    inputs = [Input(page.identifier(c.name), c.prop) for c in page.controls]

    @app.callback(
        Output("address", "search", allow_duplicate=True),
        Output("written", "data", allow_duplicate=True),
        inputs,
        State("address", "pathname"),
        State("address", "search"),
        prevent_initial_call=True,
    )
    def write(*found: Any) -> Any:
        *values, pathname, before = found
        chosen = {c.name: value for c, value in zip(page.controls, values, strict=True)}
        left = _path(pathname) != page.path  # the reader was quick, and its controls are gone
        if left or chosen == page.read(before):
            return no_update, no_update
        search = page.write(chosen)
        return search, f"/{page.path}{search}"


def _redraw(app: Dash, page: Page, card: Card) -> None:
    identifier = page.identifier(card.name)
    inputs = [Input(page.identifier(name), page.control(name).prop) for name in card.uses]

    @app.callback(Output(identifier, "children"), inputs, prevent_initial_call=True)
    def redraw(*values: Any) -> Any:
        return drawn(card, dict(zip(card.uses, values, strict=True)))


def _press(app: Dash, page: Page, action: Action) -> None:
    identifier = page.identifier(action.name)

    @app.callback(
        Output(f"{identifier}-said", "children"),
        Input(identifier, "n_clicks"),
        [State(page.identifier(name), page.control(name).prop) for name in action.uses],
        prevent_initial_call=True,
    )
    def press(clicks: int | None, *values: Any) -> Any:
        if not clicks:  # the button has only come into the page
            return no_update
        try:
            return action.run(**dict(zip(action.uses, values, strict=True)))
        except UserError as error:
            return message(str(error))


def _follow_click(app: Dash, page: Page, click: Click) -> None:
    control = page.control(click.control)
    target = page.identifier(control.name)
    take: Callable[[Any, Any], Any] = click.take

    @app.callback(
        Output(target, control.prop, allow_duplicate=True),
        Input(f"{page.identifier(click.card)}-graph", "clickData"),
        State(target, control.prop),
        prevent_initial_call=True,
    )
    def follow(clicked: Any, value: Any) -> Any:
        if not clicked or not clicked.get("points"):
            return no_update
        return take(clicked["points"][0], value)
