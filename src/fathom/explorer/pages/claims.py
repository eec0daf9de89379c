"""The ledger: what is said of deep networks, what the program finds, and the figures for it."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

import dash_mantine_components as dmc
from dash import html

from fathom.explorer.controls import Control, Value, choice
from fathom.explorer.judging import Judging
from fathom.explorer.live import following
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import facts, graph, link, message
from fathom.figures.charts import chart_from_dict
from fathom.figures.draw import draw
from fathom.ledger import Row, all_claims
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


_WAIT = 0.15  # seconds in which what is quickly judged is waited for
_COMPUTED = ("computed", "behaviour")  # kinds whose judges train, trace or draw something
_DRAWN = 8  # claims up to which their experiments' figures are drawn with them


def page() -> Page:
    """The page of claims."""
    ids = list(dict.fromkeys(identifier.partition(".")[0] for identifier in all_claims()))
    anything = {"any": "any"}
    judging = Judging()

    def rows(verdict: str, kind: str, section: str, words: str) -> Any:
        return draw_rows(judging, verdict, kind, section, words)

    made = Page(
        path="claims",
        title="Claims",
        lead="What is said about deep convolutional networks, recomputed with Fathom's own code or "
        "checked against the papers, and judged while you read.",
        controls=(
            choice("verdict", "Verdict", anything | {v: v for v in get_args(Verdict)}, "any"),
            choice("kind", "Kind", anything | {k: k for k in get_args(Kind)}, "any"),
            choice("section", "About", anything | {i: i for i in ids}, "resnet"),
            _words(),
        ),
        cards=(Card("rows", "Judged", rows, ("verdict", "kind", "section", "words")),),
    )
    return following(made, ("rows",), lambda _: str(len(judging)), seconds=1.0)


def _words() -> Control:
    """Words to look for in what is claimed."""

    def make(identifier: str, value: Value) -> Any:
        return dmc.TextInput(
            id=identifier, label="With these words", value=value, debounce=300, w=220
        )

    return Control("words", "", make, str)


def draw_rows(judging: Judging, verdict: str, kind: str, section: str, words: str = "") -> Any:
    """The rows that fit, each with what was computed and why; those not judged yet are counted."""
    asked, ledger = words.lower().split(), all_claims()
    chosen = [
        claim.id
        for claim in ledger.values()
        if section in ("any", claim.id.partition(".")[0])
        and kind in ("any", claim.kind)
        and all(word in f"{claim.id} {claim.text}".lower() for word in asked)
    ]
    quick_first = sorted(chosen, key=lambda identifier: ledger[identifier].kind in _COMPUTED)
    judged = {row.id: row for row in judging.rows(quick_first, wait=_WAIT)}
    rows = [judged[identifier] for identifier in chosen if identifier in judged]
    counts = Counter(row.verdict for row in rows)
    told = ", ".join(f"{count} {word}" for word, count in counts.most_common())
    kept = [row for row in rows if verdict in ("any", row.verdict)]
    left = len(chosen) - len(rows)
    if not kept and not left:
        return message("No claim has this verdict, kind, subject and words; choose any.")
    head = (
        f"{len(rows)} claims: {told}."
        if not left
        else (f"{len(rows)} of {len(chosen)} claims are judged so far; the others follow. {told}")
    )
    drawn = len(kept) <= _DRAWN
    return [html.P(head), *(_row(row, drawn=drawn) for row in kept)]


def _row(row: Row, *, drawn: bool) -> Any:
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
            *_figure(row, drawn=drawn),
        ],
        id=row.id,
    )


def _figure(row: Row, *, drawn: bool) -> list[Any]:
    """The first chart of the experiment that a verdict comes from, where it has been recorded; no
    more than the way there, where many are shown."""
    found = row.experiment and recorded(row.experiment)
    if not found or not row.experiment:
        return []
    if not drawn:
        return [
            html.P(link("Its experiment, with figures", "experiments", experiment=row.experiment))
        ]
    chart = chart_from_dict(found["findings"]["charts"][0])
    plot = graph(f"claims-{row.id.replace('.', '-')}", draw(chart), describes=chart.caption)
    more = link("The experiment", "experiments", experiment=row.experiment)
    return [plot, html.P([chart.caption, " ", more], className="quiet")]
