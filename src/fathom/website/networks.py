"""The zoo: a chart and a table of all networks, and a page for each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from fathom.figures.networks import (
    ACROSS,
    Look,
    chart,
    counted,
    dot_of,
    facts_of,
    field_of,
    frontier,
    looks,
)
from fathom.figures.zoo import Dot
from fathom.models.cards import ModelCard
from fathom.models.registry import list_models, model_card
from fathom.report.markup import Cell, Html, bullets, el, facts, join, percent, plot, table
from fathom.report.page import Sheet
from fathom.report.setting import published_table

_BUDGETS = (5e6, 10e6, 30e6, 100e6)  # parameters
_NONE = Cell("–", -math.inf)


def pages() -> Iterator[tuple[str, Sheet]]:
    """index.html, and a page for every network."""
    yield "index.html", index()
    for name in list_models():
        yield f"networks/{name}.html", network(name)


def index() -> Sheet:
    """All networks by what they cost and what was published for them."""
    cards = [model_card(name) for name in list_models()]
    header = el(
        "header",
        el("p", "Fathom · architectures", class_="eyebrow"),
        el("h1", f"{len(cards)} networks"),
        el("p", "What every network of the zoo costs, and what was published for it. Click one on "
           "a chart or in the table to see it in full.", class_="lead"),
    )  # fmt: skip
    charts = el(
        "section",
        el("h2", "Accuracy for cost"),
        _chart(cards, "macs"),
        el("div", _chart(cards, "params"), _chart(cards, "year"), class_="two"),
        el("p", "ImageNet, one centre crop of the network's own size, no further training data; "
           "others have no dot. The dashed line is the frontier: nothing else is as accurate at "
           "as little. FLOPs are two for each multiply-add.", class_="quiet"),
        id="chart",
    )  # fmt: skip
    best = el("section", el("h2", "The most accurate"), bullets(list(_best(cards))), id="best")
    body = join([header, el("main", charts, best, _table(cards))])
    return Sheet(f"{len(cards)} networks · Fathom", body)


def _dots(cards: Sequence[ModelCard], x: str) -> list[Dot]:
    found = (dot_of(card, x, "top1", across=getattr(card, x)) for card in cards)
    return [dot for dot in found if dot is not None]


def _chart(cards: Sequence[ModelCard], x: str) -> Html:
    dots = _dots(cards, x)
    edge = frontier(dots)
    alt = (
        f"Top-1 accuracy of {len(dots)} networks against {ACROSS[x].title}. On the frontier, from "
        f"{edge[0].name} with {edge[0].y:.2f} % to {edge[-1].name} with {edge[-1].y:.2f} %, are "
        f"{len(edge)}; the table below has all values."
    )
    return plot(chart(dots, x, "top1"), alt=alt, opens="networks")


def _best(cards: Sequence[ModelCard]) -> Iterator[Html]:
    """The most accurate network within each budget, in words."""
    dots = _dots(cards, "params")
    for budget in _BUDGETS:
        inside = [dot for dot in dots if dot.x * ACROSS["params"].unit <= budget]
        best = max(inside, key=lambda dot: dot.y)
        link = el("a", best.name, href=f"networks/{best.name}.html")
        words = f": {best.y:.2f} % with {best.x:.2f} million."
        yield join([f"With at most {budget / 1e6:g} million parameters: ", link, words])


def _table(cards: Sequence[ModelCard]) -> Html:
    heads = ("Network", "Family", "Year", "Parameters", "Multiply-adds", "FLOPs", "Pixels",
             "Top-1", "Top-5")  # fmt: skip
    shown = table(heads, map(_row, cards), label="All networks", sortable=True)
    note = (
        "Costs are for one image of so many pixels a side. Accuracies are those of the charts; "
        "what was measured otherwise is on the network's page. The headings sort."
    )
    return el("section", el("h2", "All of them"), shown, el("p", note, class_="quiet"), id="all")


def _row(card: ModelCard) -> Sequence[object]:
    figure = card.comparable
    counts = (card.params, card.macs, card.flops)
    return (
        el("a", card.name, href=f"networks/{card.name}.html"),
        card.family,
        Cell(card.year, card.year),
        *(Cell(f"{count:,}", count) for count in counts),
        Cell(card.image_size, card.image_size),
        _share(None if figure is None else figure.top1),
        _share(None if figure is None else figure.top5),
    )


def _share(value: float | None) -> Cell:
    return _NONE if value is None else Cell(percent(value, 2), value)


def network(name: str) -> Sheet:
    """One network in full."""
    card, found = model_card(name), counted(name)
    header = el(
        "header",
        el("p", f"Fathom · network of the family {card.family}", class_="eyebrow"),
        el("h1", name),
    )
    about = facts(
        [
            *facts_of(card),
            ("Memory of a training step", f"{found.training_bytes / 2**20:,.1f} MiB for one image"),
            ("Receptive field", field_of(found) or None),
        ]
    )
    rows = [(s.name, f"{s.size} × {s.size}", s.channels, s.depth or "", s.made_of)
            for s in card.stages]  # fmt: skip
    stages = table(
        ("Stage", "Output", "Channels", "Blocks", "Made of"), rows, label=f"Stages of {name}"
    )
    block = el("pre", card.block, class_="diagram", tabindex=0)
    figures = el("div", *map(_figure, looks(name)), class_="two")
    sections = [
        el("section", about, id="facts"),
        el("section", el("h2", "One block"), block, id="block"),
        el("section", el("h2", "What is in it"), figures, stages, id="inside"),
        el("section", el("h2", "Published"), published_table(card), id="published")
        if card.published
        else None,
    ]
    return Sheet(f"{name} · Fathom", join([header, el("main", *sections)]))


def _figure(look: Look) -> Html:
    return el("div", el("h3", look.title), plot(look.figure, alt=look.words, caption=look.words))
