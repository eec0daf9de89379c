"""What is around the cards of a page, and what cards are made of."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from typing import Any

import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import dcc, html

from fathom.errors import UserError
from fathom.explorer.page import Card, Page, Values

_ONE_AT_A_TIME = threading.RLock()
_CONFIG: Any = {
    "displaylogo": False,
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "responsive": True,
}


def named(text: str) -> dict[str, Any]:
    """What a screen reader calls a component."""
    return {"aria-label": text}


def shell(pages: Sequence[Page]) -> Any:
    """The frame of all pages; what is inside is filled in for each address."""
    links = [
        dcc.Link(page.title, href=f"/{page.path}", className="page-link", id=f"link-{page.path}")
        for page in pages
    ]
    header = html.Header(
        [
            html.A("Skip to content", href="#main", className="skip"),
            dcc.Link("Fathom", href="/", className="brand"),
            html.Nav(links, className="pages", **named("Pages")),
            dmc.ColorSchemeToggle(
                lightIcon="☀",
                darkIcon="☾",
                variant="default",
                size="lg",
                **named("Light or dark"),
            ),
        ],
        className="top",
    )
    return dmc.MantineProvider(
        [
            dcc.Location(id="address", refresh=False),
            dcc.Store(id="written"),
            header,
            html.Main(id="main", tabIndex=-1),
        ],
        defaultColorScheme="auto",
        theme={
            "primaryColor": "blue",
            "primaryShade": 8,  # on which white letters can be read
            "fontFamily": "system-ui, sans-serif",
        },
    )


def page_layout(page: Page, values: Values) -> list[Any]:
    """Heading, controls and cards of a page, drawn for these values."""
    controls = [
        control.make(page.identifier(control.name), values[control.name])
        for control in page.controls
    ]
    buttons = [dmc.Button(action.label, id=page.identifier(action.name)) for action in page.actions]
    bar: list[Any] = [html.Div([*controls, *buttons], className="controls")]
    if not controls and not buttons:
        bar = []
    bar += [
        html.Div(id=f"{page.identifier(action.name)}-said", role="status")
        for action in page.actions
    ]
    frames = [_frame(page, card, values) for card in page.cards]
    return [html.H1(page.title), html.P(page.lead, className="lead"), *bar, *frames]


def _frame(page: Page, card: Card, values: Values) -> Any:
    identifier = page.identifier(card.name)
    inside = html.Div(drawn(card, values), id=identifier)
    note = [html.P(card.note, className="quiet")] if card.note else []
    heading = html.H2(card.title, id=f"{identifier}-title")
    return html.Section(
        [heading, dcc.Loading(inside, delay_show=300, type="dot"), *note],
        className="card",
        **named(card.title),
    )


def drawn(card: Card, values: Values) -> Any:
    """The inside of a card; what went wrong, where drawing it failed.

    One card is drawn at a time: PyTorch's random generator, whose seeds give the weights that are
    shown, is the process's, and so are hooks.
    """
    try:
        with _ONE_AT_A_TIME:
            return card.draw(**{name: values[name] for name in card.uses})
    except UserError as error:
        return message(str(error))
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return message(
            f"This card could not be drawn ({type(error).__name__}); the terminal says more. The "
            "others go on."
        )


def message(text: str) -> Any:
    """Something to know instead of a figure."""
    return dmc.Alert(text, color="yellow", variant="light")


def graph(identifier: str, figure: go.Figure, *, describes: str) -> Any:
    """A figure; describes says in words what it shows."""
    plot = dcc.Graph(id=identifier, figure=figure, config=_CONFIG)
    return html.Div(plot, role="figure", **named(describes))  # no image: its buttons can be reached


def facts(pairs: Iterable[tuple[str, Any]]) -> Any:
    """Terms and what they are; pairs without a value are left out."""
    rows: list[Any] = []
    for term, value in pairs:
        if value not in (None, ""):
            rows += [html.Dt(term), html.Dd(value)]
    return html.Dl(rows, className="facts")


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, label: str) -> Any:
    """A table that scrolls sideways in its own box where it is too wide."""
    cells = [html.Th(text, scope="col") if text else html.Td() for text in heads]
    head = html.Thead(html.Tr(cells))
    body = html.Tbody([html.Tr([html.Td(cell) for cell in row]) for row in rows])
    inside = html.Table([html.Caption(label, className="unseen"), head, body])
    return html.Div(inside, className="wide", tabIndex=0, role="region", **named(label))


def link(text: str, page: str, **values: str) -> Any:
    """A link to a page of the explorer with some values set."""
    search = "&".join(f"{name}={value}" for name, value in values.items())
    return dcc.Link(text, href=f"/{page}" + (f"?{search}" if search else ""))
