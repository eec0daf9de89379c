"""What there is to see of networks: where each stands by its cost, and what one is made of.

The explorer's page and the exported site show the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import plotly.graph_objects as go
import torch

from fathom.costs import Cost, cost
from fathom.costs.step_memory import BATCH
from fathom.figures import zoo
from fathom.models.cards import ModelCard
from fathom.models.registry import build_model, model_card


@dataclass(frozen=True)
class Across:
    """An axis that networks are compared along: its name, its title, and what one unit of it is."""

    name: str
    title: str
    unit: float


ACROSS: Mapping[str, Across] = {
    "params": Across("Parameters", "parameters (millions)", 1e6),
    "macs": Across("Multiply-adds", "multiply-adds for one image (billions)", 1e9),
    "flops": Across("FLOPs", "FLOPs for one image (billions)", 1e9),
    "year": Across("Year", "year", 1.0),
    "memory": Across(
        "Training memory", f"memory of a training step of {BATCH} images (GiB)", 2.0**30
    ),
    "latency": Across("Latency here", "one image on this machine (ms)", 1e-3),
}
UP: Mapping[str, str] = {"top1": "Top-1", "top5": "Top-5"}


def dot_of(
    card: ModelCard, x: str, y: str, *, across: float | None, fits: bool = True
) -> zoo.Dot | None:
    """Where a network stands; None where it lacks one of the two values.

    across: its value along x, in plain units: parameters, bytes, seconds.
    """
    figure = card.comparable
    height = figure and getattr(figure, y)
    if not height or across is None:
        return None
    assert figure is not None
    axis = ACROSS[x]
    says = f"{100 * height:.2f} % ({figure.source}); {across / axis.unit:.4g} {axis.title}"
    return zoo.Dot(card.name, card.family, across / axis.unit, 100 * height, says, fits)


def frontier(dots: Sequence[zoo.Dot]) -> list[zoo.Dot]:
    """The dots that none beats: as high at as little, or, by year, as high as early."""
    best: list[zoo.Dot] = []
    for dot in sorted(dots, key=lambda d: (d.x, -d.y)):
        if not best or dot.y > best[-1].y:
            best.append(dot)
    return best


def chart(dots: Sequence[zoo.Dot], x: str, y: str, *, chosen: Sequence[str] = ()) -> go.Figure:
    """The dots on their axes, with the frontier of those that fit."""
    return zoo.networks(
        dots,
        frontier([dot for dot in dots if dot.fits]),
        x=ACROSS[x].title,
        y=f"published {UP[y].lower()} accuracy (%)",
        log=x != "year",
        chosen=chosen,
    )


def published(card: ModelCard) -> str:
    """The top-1 to show for a network, with protocol and source."""
    figure = card.headline
    if figure is None or figure.top1 is None:
        return "none"
    return f"{100 * figure.top1:.2f} % ({figure.protocol}; {figure.source})"


def facts_of(card: ModelCard) -> list[tuple[str, str | None]]:
    """What a card says in terms and words; None where it says nothing."""
    peers = (f"{library} {peer}" for library in ("torchvision", "timm")
             if (peer := getattr(card, library)))  # fmt: skip
    return [
        ("Paper", f"{card.paper}, {card.year}" + (f", arXiv:{card.arxiv}" if card.arxiv else "")),
        ("Parameters", f"{card.params:,}"),
        ("Multiply-adds", f"{card.macs:,} for one image of {card.image_size} pixels"),
        ("FLOPs", f"{card.flops:,} (2 × multiply-adds)"),
        ("Published", published(card)),
        ("Peers", ", ".join(peers) or None),
        ("Recipe", card.recipe),
    ]


@cache
def counted(name: str) -> Cost:
    """The costs of a network for one image of its own size, layer by layer."""
    card = model_card(name)
    with torch.device("meta"):
        model = build_model(name)
    return cost(model, image_size=card.image_size, in_channels=card.in_channels)


def field_of(found: Cost) -> str:
    """The receptive field of the last map, in words; empty where it has none."""
    field = found.receptive_field
    return "" if field is None else f"{field.size[0]:,} pixels"


@dataclass(frozen=True)
class Look:
    """A figure of one network, and what there is to see in it."""

    name: str
    title: str
    figure: go.Figure
    words: str


def looks(name: str) -> list[Look]:
    """A network stage by stage, where its costs sit, and what its pixels see."""
    card, found = model_card(name), counted(name)
    return [_stages(card), _costs(found), _fields(card, found)]


def _stages(card: ModelCard) -> Look:
    figure = zoo.stages(
        [stage.name for stage in card.stages],
        [stage.size for stage in card.stages],
        [stage.channels for stage in card.stages],
    )
    first, last = card.stages[0], card.stages[-1]
    words = (
        f"From {first.size} x {first.size} pixels with {first.channels:,} channels to "
        f"{last.size} x {last.size} with {last.channels:,}."
    )
    return Look("stages", "Stage by stage", figure, words)


def _costs(found: Cost) -> Look:
    layers = [layer for layer in found.layers if layer.macs or layer.params]
    figure = zoo.layer_costs(
        [layer.name for layer in layers],
        [layer.params for layer in layers],
        [layer.macs for layer in layers],
    )
    heaviest = max(layers, key=lambda layer: layer.params)
    share = 100 * heaviest.params / found.params
    words = f"{heaviest.name} alone has {share:.1f} % of all parameters."
    return Look("costs", "Where the costs sit", figure, words)


def _fields(card: ModelCard, found: Cost) -> Look:
    sizes = [layer.field.size[0] for layer in found.layers if layer.field is not None]
    figure = zoo.fields(range(1, len(sizes) + 1), {card.name: sizes}, card.image_size)
    enough = next(n for n, size in enumerate(sizes, 1) if size >= card.image_size)
    words = (  # what ends in a classifier sees the whole image somewhere
        f"From layer {enough} of {len(sizes)} on, a pixel of a map sees as many pixels a side as "
        f"the image has: {card.image_size}."
    )
    return Look("field", "What a pixel sees", figure, words)
