"""What a reader can set on a page. Its value stands in the address, which nobody has to trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update

from fathom.errors import UserError
from fathom.explorer.pictures import LARGEST, Pictures

Value = str | float | bool | list[str]
_MOST = 24  # names of a list
_DIGITS = 6  # of a count in an address


@dataclass(frozen=True)
class Control:
    """One thing to set.

    make: (id, value) -> the component, whose property `prop` holds the value. read: the text in an
    address -> a value, ValueError for what this control cannot have. write: the inverse. wire:
    (application, id) registers what the component does by itself.
    """

    name: str
    default: Value
    make: Callable[[str, Value], Any]
    read: Callable[[str], Value]
    write: Callable[[Any], str] = str
    prop: str = "value"
    wire: Callable[[Dash, str], None] | None = None


def choice(name: str, label: str, options: Mapping[str, str], default: str) -> Control:
    """One of several: options are labels by value."""
    data = [{"value": value, "label": text} for value, text in options.items()]

    def make(identifier: str, value: Value) -> Any:
        return dmc.Select(
            id=identifier, label=label, data=data, value=value, allowDeselect=False, w=220
        )

    return Control(name, default, make, _one_of(options))


def several(
    name: str, label: str, options: Sequence[str], default: Sequence[str], *, most: int = _MOST
) -> Control:
    """Any number of several, found by typing."""
    allowed = set(options)

    def make(identifier: str, value: Value) -> Any:
        return dmc.MultiSelect(
            id=identifier,
            label=label,
            data=list(options),
            value=value,
            searchable=True,
            clearable=True,
            maxValues=most,
            miw=260,
            style={"flex": 1},
        )

    def read(text: str) -> Value:
        names = [unquote(part) for part in text.split(",") if part]
        if len(names) > most or not set(names) <= allowed:
            raise ValueError(text)
        return names

    def write(names: Sequence[str]) -> str:
        return ",".join(part.replace("%", "%25").replace(",", "%2C") for part in names)

    return Control(name, list(default), make, read, write)


def slider(
    name: str,
    label: str,
    marks: Sequence[tuple[float, str]],
    default: float,
    *,
    step: float = 1.0,
) -> Control:
    """A number between the first and the last mark."""
    low, high = marks[0][0], marks[-1][0]

    def make(identifier: str, value: Value) -> Any:
        bar = dmc.Slider(
            id=identifier,
            min=low,
            max=high,
            step=step,
            value=value,
            marks=[{"value": place, "label": text} for place, text in marks],
            thumbLabel=label,
            mb=24,
        )
        return dmc.Stack([dmc.Text(label, size="sm", fw=500), bar], gap=4, w=260)

    def read(text: str) -> Value:
        number = float(text)
        if not math.isfinite(number) or not low <= number <= high:
            raise ValueError(text)
        return number

    return Control(name, default, make, read, "{:g}".format)


def switch(name: str, label: str, *, default: bool = False) -> Control:
    """On or off."""

    def make(identifier: str, value: Value) -> Any:
        return dmc.Switch(id=identifier, label=label, checked=value, mt=28)

    return Control(
        name,
        default,
        make,
        lambda text: _one_of(("on", "off"))(text) == "on",
        lambda value: "on" if value else "off",
        "checked",
    )


def again(name: str, label: str) -> Control:
    """A button that draws something anew: its value counts the presses, as a seed."""

    def make(identifier: str, value: Value) -> Any:
        return dmc.Button(label, id=identifier, n_clicks=value, variant="default")

    def read(text: str) -> Value:
        if not text.isascii() or not text.isdigit() or len(text) > _DIGITS:
            raise ValueError(text)
        return int(text)

    return Control(name, 0, make, read, str, "n_clicks")


def picture(name: str, label: str, store: Pictures) -> Control:
    """One of the sample pictures, or one's own, whose pixels the store keeps while it runs."""

    def make(identifier: str, value: Value) -> Any:
        select = dmc.Select(
            id=identifier,
            label=label,
            data=_named(store),
            value=value,
            allowDeselect=False,
            w=220,
        )
        button = dmc.Button("Your own picture", variant="default")
        upload = dcc.Upload(button, id=f"{identifier}-upload", accept="image/*", max_size=LARGEST)
        said = html.Div(id=f"{identifier}-said", role="status")
        return html.Div([select, upload, said], className="picture")

    def read(text: str) -> Value:
        if text not in store.names():
            raise ValueError(text)
        return text

    def wire(app: Dash, identifier: str) -> None:
        @app.callback(
            Output(identifier, "data"),
            Output(identifier, "value", allow_duplicate=True),
            Output(f"{identifier}-said", "children"),
            Input(f"{identifier}-upload", "contents"),
            State(f"{identifier}-upload", "filename"),
            prevent_initial_call=True,
        )
        def keep(contents: str | None, filename: str | None) -> Any:
            try:
                key = store.put(contents or "", filename or "picture")
            except UserError as error:
                return no_update, no_update, str(error)
            return _named(store), key, ""

    return Control(name, next(iter(store.names())), make, read, wire=wire)


def _named(store: Pictures) -> list[dict[str, str]]:
    return [{"value": key, "label": text} for key, text in store.names().items()]


def _one_of(options: Mapping[str, str] | Sequence[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in options:
            raise ValueError(text)
        return text

    return read
