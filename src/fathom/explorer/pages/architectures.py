"""All networks of the zoo on one chart, and each of them in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from fathom.costs.latency import remembered
from fathom.costs.step_memory import BATCH, STEP_BYTES
from fathom.explorer.controls import choice, several, slider
from fathom.explorer.page import Card, Click, Page
from fathom.explorer.shell import facts, graph, message, table
from fathom.figures.networks import (
    ACROSS,
    UP,
    chart,
    counted,
    dot_of,
    facts_of,
    field_of,
    looks,
    published,
)
from fathom.models.cards import ModelCard
from fathom.models.registry import list_models, model_card
from fathom.runtime import choose_runtime

_MOST = 4  # networks side by side
_ANY_PARAMS, _ANY_MACS = 9.0, 11.0  # powers of ten that no network reaches
_UNTIMED = (
    "`fathom models --sort latency` in a terminal times all networks once, one image at a time, "
    "which takes some minutes; then open this page again."
)
PATH = ""


def page() -> Page:
    """The page of architectures."""
    return Page(
        path=PATH,
        title="Architectures",
        lead="Every network of the zoo by what it costs and what was published for it. Set a "
        "budget, and click networks to see them in full, side by side.",
        controls=(
            choice("x", "Across", {key: axis.name for key, axis in ACROSS.items()}, "macs"),
            choice("y", "Up", UP, "top1"),
            slider(
                "params",
                "At most so many parameters",
                [(6, "1M"), (7, "10M"), (8, "100M"), (_ANY_PARAMS, "any")],
                _ANY_PARAMS,
                step=0.1,
            ),
            slider(
                "macs",
                "At most so many multiply-adds",
                [(7, "10M"), (8, "100M"), (9, "1G"), (10, "10G"), (_ANY_MACS, "any")],
                _ANY_MACS,
                step=0.1,
            ),
            several("networks", "Networks", list_models(), ["resnet50"], most=_MOST),
        ),
        cards=(
            Card(
                "chart",
                "Accuracy for cost",
                draw_chart,
                ("x", "y", "params", "macs", "networks"),
                "ImageNet, one centre crop of the network's own size, no further training data; "
                "others have no dot. The dashed line is the frontier of what fits: nothing else is "
                "as accurate at as little. FLOPs are two for each multiply-add. Memory is counted "
                "for SGD with momentum in float32.",
            ),
            Card("compared", "Side by side", draw_compared, ("networks",)),
            Card("inside", "In full", draw_inside, ("networks",)),
        ),
        clicks=(Click("chart", "networks", add_clicked),),
    )


def add_clicked(point: Mapping[str, Any], names: Sequence[str] | None) -> list[str]:
    """The network under the pointer comes in, the oldest goes where there are too many; one that is
    there already goes."""
    name, kept = str(point.get("customdata", "")), list(names or [])
    if name not in list_models():
        return kept
    if name in kept:
        return [other for other in kept if other != name]
    return [*kept, name][-_MOST:]


def draw_chart(x: str, y: str, params: float, macs: float, networks: Sequence[str]) -> Any:
    """The chart of all networks that have both values."""
    limits = {"params": _limit(params, _ANY_PARAMS), "macs": _limit(macs, _ANY_MACS)}
    cards = [model_card(name) for name in list_models()]
    across = _across(cards, x)
    found = [
        dot_of(card, x, y, across=across.get(card.name), fits=_within(card, limits))
        for card in cards
    ]
    dots = [dot for dot in found if dot is not None]
    if not dots:
        return message(f"No latency was measured here yet. {_UNTIMED}")
    fit = sum(dot.fits for dot in dots)
    best = max((dot for dot in dots if dot.fits), key=lambda dot: dot.y, default=None)
    text = f"{fit} of {len(dots)} networks fit."
    if best is not None:
        text += f" The most accurate of them is {best.name}: {best.y:.2f} %."
    untimed = sum(card.name not in across for card in cards)
    if untimed:
        text += f" {untimed} more networks have not been timed here yet. {_UNTIMED}"
    figure = chart(dots, x, y, chosen=networks or ())
    return [graph(f"{PATH or 'home'}-chart-graph", figure, describes=text), html.P(text)]


def _limit(power: float, no_limit: float) -> float:
    return float("inf") if power >= no_limit else 10.0**power


def _within(card: ModelCard, limits: Mapping[str, float]) -> bool:
    return all(getattr(card, axis) <= most for axis, most in limits.items())


def _across(cards: Sequence[ModelCard], x: str) -> Mapping[str, float]:
    """The values of networks along an axis; only latencies can be lacking."""
    if x == "latency":
        return remembered(choose_runtime("auto"))
    return STEP_BYTES if x == "memory" else {card.name: float(getattr(card, x)) for card in cards}


def draw_compared(networks: Sequence[str]) -> Any:
    """A table with a column a network."""
    if not networks:
        return message("Click a network on the chart, or name one.")
    cards = [model_card(name) for name in networks]
    costs = [counted(name) for name in networks]
    rows: list[tuple[str, list[str]]] = [
        ("year", [str(card.year) for card in cards]),
        ("paper", [card.paper for card in cards]),
        ("input", [f"{card.image_size} pixels" for card in cards]),
        ("parameters", [f"{card.params:,}" for card in cards]),
        ("multiply-adds", [f"{card.macs:,}" for card in cards]),
        ("FLOPs", [f"{card.flops:,}" for card in cards]),
        (
            "memory of a training step, one image",
            [f"{c.training_bytes / 2**20:,.1f} MiB" for c in costs],
        ),
        (
            f"memory of a training step, {BATCH} images",
            [f"{STEP_BYTES[name] / 2**20:,.1f} MiB" for name in networks],
        ),
        ("receptive field", [field_of(c) for c in costs]),
        ("top-1", [published(card) for card in cards]),
        ("recipe", [card.recipe for card in cards]),
    ]
    body = [[html.Strong(term), *cells] for term, cells in rows]
    return table(["", *networks], body, label="Networks side by side")


def draw_inside(networks: Sequence[str]) -> Any:
    """The last network chosen: its facts, block, stages, and where its costs sit."""
    if not networks:
        return message("Click a network on the chart, or name one.")
    name = networks[-1]
    card = model_card(name)
    figures = [
        _part(
            look.title,
            graph(f"home-{look.name}", look.figure, describes=look.words),
            html.P(look.words),
        )
        for look in looks(name)
    ]
    block = _part("One block", html.Pre(card.block, className="diagram", tabIndex=0))
    return [
        html.H3(name),
        facts(facts_of(card)),
        html.Div([block, *figures], className="two"),
        table(
            ("stage", "output", "channels", "blocks", "made of"),
            [(s.name, f"{s.size} x {s.size}", s.channels, s.depth or "", s.made_of)
             for s in card.stages],
            label=f"Stages of {name}",
        ),
    ]  # fmt: skip


def _part(title: str, *inside: Any) -> Any:
    return html.Div([html.H4(title), *inside])
