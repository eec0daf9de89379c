"""Look inside: what a run's or a pretrained network sees in a picture, by six ways to look."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dash_mantine_components as dmc
from dash import html

from fathom.explorer.controls import Control, Value, choice, picture
from fathom.explorer.opened import Chosen, Opened, chances, networks, opened, view
from fathom.explorer.page import Card, Page
from fathom.explorer.pictures import Pictures
from fathom.explorer.shell import message, table
from fathom.explorer.ways import DRAW, framed, percent
from fathom.look import paint
from fathom.look.sheet import likeliest
from fathom.look.subject import find_class, find_stage
from fathom.runtime import configured

PATH = "look"
WAYS = {
    "cam": "Grad-CAM",
    "occlusion": "Occlusion",
    "maps": "Maps by stage",
    "filters": "First filters",
    "projection": "Deconvolution",
    "patches": "Strongest patches",
}
STAGES = {"last": "the last"} | {str(number): str(number) for number in range(1, 10)}
_NUMBER, _NAME = 5, 80  # characters in an address


def page(folder: Path, store: Pictures) -> Page:
    """The page of looking inside; folder holds the runs, store the pictures."""

    def said(network: str, picture: str) -> Any:
        return draw_said(opened(folder, network), store, picture)

    def seen(**values: Any) -> Any:
        return draw_seen(folder, store, **values)

    return Page(
        path=PATH,
        title="Look inside",
        lead="What a network sees in a picture: which places speak for its answer, what becomes of "
        "the answer where they are hidden, and what its filters and maps respond to.",
        controls=(
            _networks(folder),
            picture("picture", "Picture", store),
            choice("way", "Look at", WAYS, "cam"),
            choice("stage", "Stage", STAGES, "last"),
            _channel(),
            _class(),
        ),
        cards=(
            Card("said", "What it says", said, ("network", "picture")),
            Card(
                "seen",
                "What is to see",
                seen,
                ("network", "picture", "way", "stage", "channel", "target"),
            ),
        ),
    )


def _networks(folder: Path) -> Control:
    """The networks that there are at the time: pretrained ones, then runs."""

    def now() -> Control:
        there = networks(folder)
        return choice("network", "Network", there, next(iter(there)))

    def read(text: str) -> Value:
        return now().read(text)

    return Control(
        "network", now().default, lambda identifier, value: now().make(identifier, value), read
    )


def _channel() -> Control:
    def make(identifier: str, value: Value) -> Any:
        return dmc.NumberInput(
            id=identifier,
            label="Channel",
            placeholder="the strongest",
            value=value,
            min=0,
            allowDecimal=False,
            debounce=400,
            w=150,
        )

    def read(text: str) -> Value:
        if not (text.isascii() and text.isdigit() and len(text) <= _NUMBER):
            raise ValueError(text)
        return int(text)

    return Control("channel", "", make, read)


def _class() -> Control:
    def make(identifier: str, value: Value) -> Any:
        return dmc.TextInput(
            id=identifier,
            label="Class, by name or number",
            placeholder="the likeliest",
            value=value,
            debounce=400,
            w=200,
        )

    def read(text: str) -> Value:
        if len(text) > _NAME:
            raise ValueError(text)
        return text

    return Control("target", "", make, read)


def draw_said(found: Opened, store: Pictures, key: str) -> Any:
    """The picture as it is shown to the network, and the likeliest classes."""
    top = likeliest(chances(found, store, key), found.classifier.class_names)
    seen = view(found, store, key)
    side = seen.shape[-1]
    others = " and ".join(f"{name} ({percent(chance)})" for name, chance in top[1:3])
    return [
        *([message(found.warning)] if found.warning else []),
        html.P(
            f"{found.label} takes it for {top[0][0]} ({percent(top[0][1])})"
            + (f", before {others}." if others else ".")
        ),
        html.Div(
            [
                framed(
                    paint.picture(seen),
                    f"The picture as the network is shown it, {side} x {side} pixels",
                ),
                table(
                    ("class", "probability"),
                    [(name, percent(chance)) for name, chance in top],
                    label="The likeliest classes",
                ),
            ],
            className="looks",
        ),
    ]


def draw_seen(
    folder: Path,
    store: Pictures,
    *,
    network: str,
    picture: str,
    way: str,
    stage: str,
    channel: int | str | None,
    target: str | None,
) -> Any:
    """What one way of looking shows, or why it shows nothing."""
    found = opened(folder, network)
    names = found.classifier.class_names
    chosen = Chosen(
        found,
        store,
        picture,
        find_stage(found.model, None if stage == "last" else int(stage)),
        None if channel in (None, "") else int(channel),
        find_class(names, target) if target else int(chances(found, store, picture).argmax()),
    )
    with configured(found.classifier.runtime):
        return DRAW[way](chosen)
