"""The road from ResNet-50 to ConvNeXt-T as a walk: one change a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from dash import html
from torch import nn

from fathom.costs.count import last_field
from fathom.costs.step_memory import BATCH, STEP_BYTES
from fathom.costs.trace import trace
from fathom.explorer.controls import slider
from fathom.explorer.page import Card, Click, Page
from fathom.explorer.shell import facts, graph, link, table
from fathom.figures import road as figures
from fathom.models.cards import ModelCard
from fathom.models.convnext import LayerScale
from fathom.models.registry import build_model
from fathom.models.variants.road import VARIANTS

PATH = "road"
CARDS = tuple(row.card for row in VARIANTS)
_SOURCE = (
    "Accuracies are the paper's: Liu et al. 2022, arXiv:2201.03545, Table 10, ImageNet, mean of 3 "
    "seeds. All else is counted from Fathom's own networks."
)
_NORMS = {nn.BatchNorm2d: "batch norm", nn.LayerNorm: "layer norm"}
_ACTS = {nn.ReLU: "ReLU", nn.GELU: "GELU"}


def page() -> Page:
    """The page of the road."""
    last = len(CARDS) - 1
    marks = [(step, str(step)) for step in (0, *range(3, last, 3), last)]
    return Page(
        path=PATH,
        title="To ConvNeXt",
        lead="ResNet-50 becomes ConvNeXt-T, one idea at a time. Which ideas brought accuracy, and "
        "which only moved the cost? Move the step, or click one.",
        controls=(slider("step", "Step", marks, 3),),
        cards=(
            Card("along", "Along the road", draw_along, ("step",), _SOURCE),
            Card("change", "This step", draw_step, ("step",)),
            Card("all", "All steps", draw_all, note="Accuracies are the paper's."),
        ),
        clicks=(Click("along", "step", clicked),),
    )


def clicked(point: Mapping[str, Any], step: float) -> float:
    """The step under the pointer."""
    number = point.get("customdata", step)
    return number if number in range(len(CARDS)) else step


def name_of(card: ModelCard) -> str:
    """What a step is called: "kernel7" of road_07_kernel7, in words."""
    return card.name.split("_", 2)[2].replace("_", " ")


def says(card: ModelCard) -> str:
    """What the card says that the step changes."""
    return card.block.partition("\n\n")[0].partition(". ")[2]


def top1(card: ModelCard) -> float:
    """The paper's top-1 in percent."""
    return 100 * next(figure.top1 for figure in card.published if figure.top1 is not None)


def draw_along(step: float) -> Any:
    """Accuracy and multiply-adds of all steps, and what the one chosen brings."""
    number = int(step)
    figure = figures.steps(
        [name_of(card) for card in CARDS],
        [top1(card) for card in CARDS],
        [card.macs / 1e9 for card in CARDS],
        chosen=number,
    )
    words = _brings(number)
    return [graph(f"{PATH}-along-graph", figure, describes=words), html.P(words)]


def _brings(number: int) -> str:
    card, first = CARDS[number], CARDS[0]
    if number == 0:
        return (
            f"The start: {top1(first):.2f} % with {first.macs / 1e9:.2f} billion multiply-adds, "
            "trained as modern networks are."
        )
    before = CARDS[number - 1]
    costs = "costs as much as before"
    if card.macs != before.macs:
        more = "more" if card.macs > before.macs else "fewer"
        costs = f"costs {100 * abs(card.macs / before.macs - 1):.0f} % {more} multiply-adds"
    return (
        f"Step {number}, {name_of(card)}: {top1(card) - top1(before):+.2f} points, and it {costs}. "
        f"Since the start {top1(card) - top1(first):+.2f} points at "
        f"{card.macs / first.macs:.2f} times the multiply-adds."
    )


@dataclass(frozen=True)
class Parts:
    """What the modules of a network are: how many there are of each sort, and what it sees."""

    convolutions: int
    depthwise: int
    norms: str
    activations: str
    layer_scales: int
    field: int


@lru_cache(len(CARDS))
def parts_of(name: str) -> Parts:
    """Counted in the network itself."""
    with torch.device("meta"):
        model = build_model(name)
    convs = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    card = CARDS[[card.name for card in CARDS].index(name)]
    shape = (1, card.in_channels, card.image_size, card.image_size)
    field = last_field(trace(model, shape).records.values())
    assert field is not None, "a network of the zoo has maps"
    return Parts(
        convolutions=len(convs),
        depthwise=sum(conv.groups > 1 for conv in convs),
        norms=_named(model, _NORMS),
        activations=_named(model, _ACTS),
        layer_scales=sum(isinstance(module, LayerScale) for module in model.modules()),
        field=field.size[0],
    )


def _named(model: nn.Module, kinds: Mapping[type[nn.Module], str]) -> str:
    """How many modules there are of each kind: "53 batch norm"."""
    found = Counter(
        name for module in model.modules() for kind, name in kinds.items()
        if isinstance(module, kind)
    )  # fmt: skip
    return ", ".join(f"{count} {name}" for name, count in found.items())


def draw_step(step: float) -> Any:
    """What the step changes: in words, in numbers, and in the block, before and after."""
    number = int(step)
    pair = CARDS[max(0, number - 1) : number + 1]
    rows = [_row(term, cells) for term, *cells in rows_of(pair)]
    heads = ["", *(f"step {CARDS.index(card)}, {name_of(card)}" for card in pair)]
    diagrams = [
        html.Div([html.H4(head), html.Pre(_diagram(card), className="diagram", tabIndex=0)])
        for head, card in zip(heads[1:], pair, strict=True)
    ]
    card = pair[-1]
    return [
        html.H3(f"{number}. {says(card)}"),
        *diagrams,
        table(heads, rows, label="Before and after the step"),
        facts([("In full", link(card.name, "", networks=card.name))]),
    ]


def _row(term: str, cells: list[str]) -> list[Any]:
    """What the step changed stands out."""
    last = html.Strong(cells[-1]) if len(set(cells)) > 1 else cells[-1]
    return [term, *cells[:-1], last]


def _diagram(card: ModelCard) -> str:
    return card.block.partition("\n\n")[2]


def rows_of(cards: tuple[ModelCard, ...]) -> Iterator[tuple[str, ...]]:
    """Rows of a term and its value for each of the networks."""
    found = [parts_of(card.name) for card in cards]
    yield "published top-1", *(f"{top1(card):.2f} %" for card in cards)
    yield "parameters", *(f"{card.params:,}" for card in cards)
    yield "multiply-adds", *(f"{card.macs:,}" for card in cards)
    memory = (f"{STEP_BYTES[card.name] / 2**30:.2f} GiB" for card in cards)
    yield f"memory of a training step, {BATCH} images", *memory
    yield "blocks a stage", *(" ".join(str(s.depth) for s in c.stages if s.depth) for c in cards)
    yield "channels a stage", *(" ".join(str(s.channels) for s in c.stages[1:]) for c in cards)
    yield "stem", *(card.stages[0].made_of for card in cards)
    yield (
        "convolutions",
        *(f"{parts.convolutions}, {parts.depthwise} of them depthwise" for parts in found),
    )
    yield "norms", *(parts.norms for parts in found)
    yield "activations", *(parts.activations for parts in found)
    yield "layer scales", *(str(parts.layer_scales) for parts in found)
    yield "receptive field", *(f"{parts.field:,} pixels" for parts in found)


def draw_all() -> Any:
    """A row a step."""
    rows = []
    for number, card in enumerate(CARDS):
        change = f"{top1(card) - top1(CARDS[number - 1]):+.2f}" if number else ""
        rows.append(
            (
                link(f"{number} {name_of(card)}", PATH, step=str(number)),
                says(card),
                f"{card.params / 1e6:.2f}",
                f"{card.macs / 1e9:.2f}",
                f"{top1(card):.2f}",
                change,
            )
        )
    heads = (
        *("step", "what changes", "parameters (millions)", "multiply-adds (billions)"),
        *("top-1 (%)", "points"),
    )
    return table(heads, rows, label="The thirteen networks of the road")
