"""All networks of the zoo on one chart, and each of them in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import torch
from dash import html

from fathom.costs import Cost, cost
from fathom.costs.latency import remembered
from fathom.explorer.controls import choice, several, slider
from fathom.explorer.page import Card, Click, Page
from fathom.explorer.shell import facts, graph, message, table
from fathom.figures import zoo
from fathom.models.cards import ModelCard
from fathom.models.registry import build_model, list_models, model_card
from fathom.runtime import choose_runtime

_X = {
    "params": "Parameters",
    "macs": "Multiply-adds",
    "flops": "FLOPs",
    "year": "Year",
    "latency": "Latency here",
}
_UNITS = {
    "params": "parameters (millions)",
    "macs": "multiply-adds for one image (billions)",
    "flops": "FLOPs for one image (billions)",
    "year": "year",
    "latency": "one image on this machine (ms)",
}
_SCALE = {"params": 1e-6, "macs": 1e-9, "flops": 1e-9, "year": 1.0, "latency": 1e3}
_Y = {"top1": "Top-1", "top5": "Top-5"}
_MOST = 4  # networks side by side
_ANY_PARAMS, _ANY_MACS = 9.0, 11.0  # powers of ten that no network reaches
PATH = ""


def page() -> Page:
    """The page of architectures."""
    return Page(
        path=PATH,
        title="Architectures",
        lead="Every network of the zoo by what it costs and what was published for it. Set a "
        "budget, and click networks to see them in full, side by side.",
        controls=(
            choice("x", "Across", _X, "macs"),
            choice("y", "Up", _Y, "top1"),
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
                "as accurate at as little. FLOPs are two for each multiply-add.",
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
    dots = [dot for name in list_models() if (dot := _dot(model_card(name), x, y, limits))]
    if not dots:
        return message(
            "No latency was measured on this machine yet: `fathom models --sort latency` measures "
            "all networks once, which takes some minutes."
        )
    edge = _frontier([dot for dot in dots if dot.fits], x)
    figure = zoo.networks(
        dots,
        edge,
        x=_UNITS[x],
        y=f"published {_Y[y].lower()} accuracy (%)",
        log=x != "year",
        chosen=networks or (),
    )
    fit = sum(dot.fits for dot in dots)
    best = max((dot for dot in dots if dot.fits), key=lambda dot: dot.y, default=None)
    text = f"{fit} of {len(dots)} networks fit."
    if best is not None:
        text += f" The most accurate of them is {best.name}: {best.y:.2f} %."
    return [graph(f"{PATH or 'home'}-chart-graph", figure, describes=text), html.P(text)]


def _limit(power: float, no_limit: float) -> float:
    return float("inf") if power >= no_limit else 10.0**power


def _dot(card: ModelCard, x: str, y: str, limits: Mapping[str, float]) -> zoo.Dot | None:
    figure = card.comparable
    height = figure and getattr(figure, y)
    across = _across(card, x)
    if not height or across is None:
        return None
    assert figure is not None
    fits = all(getattr(card, axis) <= most for axis, most in limits.items())
    says = f"{100 * height:.2f} % ({figure.source}); {across * _SCALE[x]:.4g} {_UNITS[x]}"
    return zoo.Dot(card.name, card.family, across * _SCALE[x], 100 * height, says, fits)


def _across(card: ModelCard, x: str) -> float | None:
    if x == "latency":
        return remembered(choose_runtime("auto")).get(card.name)
    return float(getattr(card, x))


def _frontier(dots: Sequence[zoo.Dot], x: str) -> list[zoo.Dot]:
    """The dots that none beats: as high at as little, or, by year, as high as early."""
    best: list[zoo.Dot] = []
    for dot in sorted(dots, key=lambda d: (d.x, -d.y)):
        if not best or dot.y > best[-1].y:
            best.append(dot)
    return best


@cache
def counted(name: str) -> Cost:
    """The costs of a network for one image of its own size, layer by layer."""
    card = model_card(name)
    with torch.device("meta"):
        model = build_model(name)
    return cost(model, image_size=card.image_size, in_channels=card.in_channels)


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
        ("receptive field", [_field(c) for c in costs]),
        ("top-1", [_published(card) for card in cards]),
        ("recipe", [card.recipe for card in cards]),
    ]
    body = [[html.Strong(term), *cells] for term, cells in rows]
    return table(["", *networks], body, label="Networks side by side")


def _field(found: Cost) -> str:
    field = found.receptive_field
    return "" if field is None else f"{field.size[0]:,} pixels"


def _published(card: ModelCard) -> str:
    figure = card.headline
    if figure is None or figure.top1 is None:
        return "none"
    return f"{100 * figure.top1:.2f} % ({figure.protocol}; {figure.source})"


def draw_inside(networks: Sequence[str]) -> Any:
    """The last network chosen: its facts, block, stages, and where its costs sit."""
    if not networks:
        return message("Click a network on the chart, or name one.")
    name = networks[-1]
    card, found = model_card(name), counted(name)
    layers = [layer for layer in found.layers if layer.macs or layer.params]
    heaviest = max(layers, key=lambda layer: layer.params)
    seen = [layer for layer in found.layers if layer.field is not None]
    sizes = [layer.field.size[0] for layer in seen if layer.field is not None]
    stages = zoo.stages(
        [stage.name for stage in card.stages],
        [stage.size for stage in card.stages],
        [stage.channels for stage in card.stages],
    )
    costs = zoo.layer_costs(
        [layer.name for layer in layers],
        [layer.params for layer in layers],
        [layer.macs for layer in layers],
    )
    fields = zoo.fields(range(1, len(sizes) + 1), {name: sizes}, card.image_size)
    share = 100 * heaviest.params / found.params
    words = f"{heaviest.name} alone has {share:.1f} % of all parameters."
    return [
        html.H3(name),
        facts(_facts(card)),
        html.Div(
            [
                _part("One block", html.Pre(card.block, className="diagram", tabIndex=0)),
                _part("Stage by stage", graph("home-stages", stages, describes="Stages")),
                _part(
                    "Where the costs sit",
                    [graph("home-costs", costs, describes=words), html.P(words)],
                ),
                _part("What a pixel sees", graph("home-field", fields, describes="Fields")),
            ],
            className="two",
        ),
        table(
            ("stage", "output", "channels", "blocks", "made of"),
            [(s.name, f"{s.size} x {s.size}", s.channels, s.depth or "", s.made_of)
             for s in card.stages],
            label=f"Stages of {name}",
        ),
    ]  # fmt: skip


def _part(title: str, inside: Any) -> Any:
    return html.Div([html.H4(title), *(inside if isinstance(inside, list) else [inside])])


def _facts(card: ModelCard) -> list[tuple[str, object]]:
    return [
        ("Paper", f"{card.paper}, {card.year}" + (f", arXiv:{card.arxiv}" if card.arxiv else "")),
        ("Parameters", f"{card.params:,}"),
        ("Multiply-adds", f"{card.macs:,} for one image of {card.image_size} pixels"),
        ("Published", _published(card)),
        ("Peers", ", ".join(f"{lib} {n}" for lib in ("torchvision", "timm")
                            if (n := getattr(card, lib))) or None),
        ("Recipe", card.recipe),
    ]  # fmt: skip
