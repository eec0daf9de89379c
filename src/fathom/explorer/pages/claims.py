"""The ledger: what is said of deep networks, what the program finds, and the figures for it."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any, get_args

import dash_mantine_components as dmc
from dash import html

from fathom.explorer.controls import choice
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import facts, graph, link, message
from fathom.figures.charts import chart_from_dict
from fathom.figures.draw import draw
from fathom.ledger import Row, all_claims, claims
from fathom.ledger.claim import Kind, Verdict, in_words
from fathom.ledger.recorded import recorded

_TONES = {
    "exact": "teal",
    "rounded": "teal",
    "demonstrated": "teal",
    "ambiguous": "yellow",
    "not yet run": "gray",
    "wrong": "red",
    "not-reproduced": "red",
}


def page() -> Page:
    """The page of claims."""
    ids = list(dict.fromkeys(identifier.partition(".")[0] for identifier in all_claims()))
    anything = {"any": "any"}
    return Page(
        path="claims",
        title="Claims",
        lead="What is said about deep convolutional networks, recomputed with Fathom's own code or "
        "checked against the papers, and judged. The first look takes a while: every row is "
        "computed.",
        controls=(
            choice("verdict", "Verdict", anything | {v: v for v in get_args(Verdict)}, "any"),
            choice("kind", "Kind", anything | {k: k for k in get_args(Kind)}, "any"),
            choice("section", "About", anything | {i: i for i in ids}, "resnet"),
        ),
        cards=(Card("rows", "Judged", draw_rows, ("verdict", "kind", "section")),),
    )


@cache
def row_of(identifier: str) -> Row:
    """A row of the ledger, judged once."""
    (row,) = claims(identifier)
    return row


def draw_rows(verdict: str, kind: str, section: str) -> Any:
    """The rows that fit, each with what was computed and why."""
    chosen = [
        claim.id
        for claim in all_claims().values()
        if section in ("any", claim.id.partition(".")[0]) and kind in ("any", claim.kind)
    ]
    rows = [row_of(identifier) for identifier in chosen]
    counts = Counter(row.verdict for row in rows)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    kept = [row for row in rows if verdict in ("any", row.verdict)]
    if not kept:
        return message("No claim has this verdict, kind and subject; choose any.")
    return [html.P(f"{len(rows)} claims: {told}."), *map(_row, kept)]


def _row(row: Row) -> Any:
    badge = dmc.Badge(row.verdict, color=_TONES[row.verdict], variant="light", tt="none")
    return html.Article(
        [
            html.H3([row.id, " ", badge]),
            html.P(row.text, className="quiet"),
            html.P(row.explanation),
            facts(
                (
                    ("Stated", in_words(row.stated)),
                    ("Computed", in_words(row.computed)),
                    ("Source", row.source),
                )
            ),
            *_figure(row),
        ],
        id=row.id,
    )


def _figure(row: Row) -> list[Any]:
    """The first chart of the experiment that a verdict comes from, where it has been recorded."""
    found = row.experiment and recorded(row.experiment)
    if not found or not row.experiment:
        return []
    chart = chart_from_dict(found["findings"]["charts"][0])
    plot = graph(f"claims-{row.id.replace('.', '-')}", draw(chart), describes=chart.caption)
    more = link("The experiment", "experiments", experiment=row.experiment)
    return [plot, html.P([chart.caption, " ", more], className="quiet")]
