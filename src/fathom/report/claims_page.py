"""The ledger of claims as one HTML file that works offline.

It has scripts only where it has a recorded experiment's chart to draw. The verdicts filter by plain
links, which need none: a link to `#wrong` makes that element the target of the page, and the style
sheet then hides the rows of other verdicts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from fathom.errors import require
from fathom.figures.charts import chart_from_dict
from fathom.ledger import Row
from fathom.ledger.claim import Verdict, in_words
from fathom.ledger.recorded import recorded
from fathom.report.experiment_page import chart_plot
from fathom.report.markup import Html, counted, el, facts, join
from fathom.report.page import Sheet, document
from fathom.training.run import write_bytes

_MEANING: dict[Verdict, str] = {
    "exact": "what was computed, or the paper's own figure, is what was stated",
    "rounded": "it becomes what was stated when rounded",
    "ambiguous": "it depends on a definition or a condition that the source does not give",
    "wrong": "it holds under no definition in use",
    "demonstrated": "shown on real tensors, or by a recorded run",
    "not-reproduced": "looked for, and it did not appear",
    "not yet run": "an experiment whose recorded run is still to come",
}
_STYLE = """
.filters { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 8px; padding: 12px 0; }
.filters a { padding: 4px 12px; border: 1px solid var(--line); border-radius: 999px; }
.claim { --tone: var(--quiet); display: grid; grid-template-columns: 17rem minmax(0, 1fr);
  gap: 4px 32px; padding: 24px 0; border-top: 1px solid var(--line); }
.claim h2 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.claim h2 a { color: inherit; text-decoration: none; }
.claim p { margin: 0 0 10px; }
.badge { color: var(--tone); font-weight: 650; }
.kind { color: var(--quiet); font-size: 0.875rem; }
.claim .facts { margin: 0; font-size: 0.875rem; }
.claim .facts div { grid-template-columns: 84px minmax(0, 1fr); }
.exact, .rounded, .demonstrated { --tone: var(--good); }
.wrong, .not-reproduced { --tone: var(--bad); }
.ambiguous { --tone: var(--waiting); }
.claim .chart-title { margin: 20px 0 0; font-weight: 650; }
.claim:target { background: var(--raised); }
@media (max-width: 720px) { .claim { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 560px) { .claim .facts div { grid-template-columns: 1fr; } }
"""


def write_claims(rows: Sequence[Row], path: str | Path) -> Path:
    """Write the rows into one HTML file, whole or not at all, and return its path.

    Raises:
        UserError: there is no such folder to write into.
    """
    path = Path(path)
    require(path.parent.is_dir(), f"there is no folder {path.parent} to write {path.name} into")
    write_bytes(path, document(claims_sheet(rows)).encode("utf-8"))
    return path


def claims_sheet(rows: Sequence[Row], *, experiments: str | None = None) -> Sheet:
    """The page. experiments: the folder, seen from the page, that has NAME.html of each recorded
    experiment; None where there are no such pages to link to."""
    counts = Counter(row.verdict for row in rows)
    found = [verdict for verdict in get_args(Verdict) if counts[verdict]]
    body = el("div", *(_row(row, experiments) for row in rows), class_="rows")
    return Sheet(
        f"{counted(len(rows), 'claim')} judged · Fathom",
        join([_header(rows), el("main", *_filters(counts, found), body)]),
        style=_STYLE + _rules(found),
        scripted=any(_recorded(row) for row in rows),
    )


def _slug(verdict: str) -> str:
    """The verdict as a class and an anchor."""
    return re.sub(r"\W+", "-", verdict)


def _rules(verdicts: Iterable[Verdict]) -> str:
    """For each verdict: while its anchor is the page's target, other rows are hidden."""
    rules = []
    for slug in map(_slug, verdicts):
        rules.append(f"#{slug}:target ~ .rows > :not(.{slug}) {{ display: none; }}")
        rules.append(f"#{slug}:target ~ .filters a.{slug} {{ background: var(--raised); }}")
    return "\n".join(rules)


def _header(rows: Sequence[Row]) -> Html:
    lead = (
        "What is said about deep convolutional networks, recomputed with Fathom's own networks and "
        "functions, or checked against the papers, and judged."
    )
    return el(
        "header",
        el("p", "Fathom · ledger", class_="eyebrow"),
        el("h1", f"{counted(len(rows), 'claim')}, judged"),
        el("p", lead, class_="lead"),
    )


def _filters(counts: Counter[Verdict], found: Sequence[Verdict]) -> list[Html]:
    """Anchors come first, because a style sheet can only reach what follows the target."""
    anchors = [el("span", id=_slug(verdict)) for verdict in found]
    links = [
        el("a", f"{verdict} {counts[verdict]}", href=f"#{_slug(verdict)}", class_=_slug(verdict))
        for verdict in found
    ]
    filters = el(
        "nav",
        el("a", f"all {counts.total()}", href="#all"),
        *links,
        class_="filters",
        aria_label="Show one verdict only",
    )
    meaning = el(
        "details",
        el("summary", "What the verdicts mean"),
        facts((verdict, _MEANING[verdict]) for verdict in found),
    )
    return [
        el("span", id="all"),
        *anchors,
        filters,
        meaning,
    ]


def _row(row: Row, experiments: str | None) -> Html:
    left = [
        el("h2", el("a", row.id, href=f"#{row.id}")),
        el("p", el("span", row.verdict, class_="badge"), class_="verdict-word"),
        el("p", row.kind, class_="kind"),
    ]
    values = facts(
        (
            ("Stated", in_words(row.stated) or None),
            ("Computed", in_words(row.computed) or None),
            ("Source", row.source),
        )
    )
    right = [
        el("p", row.text, class_="quiet"),
        el("p", row.explanation),
        values,
        _chart(row, experiments),
    ]
    return el(
        "article",
        el("div", *left),
        el("div", join(right)),
        class_=f"claim {_slug(row.verdict)}",
        id=row.id,
    )


def _recorded(row: Row) -> dict[str, Any] | None:
    """The recorded run that the row's verdict is taken from."""
    return None if row.experiment is None else recorded(row.experiment)


def _chart(row: Row, experiments: str | None) -> Html | None:
    """The chart that stands for the experiment."""
    found = _recorded(row)
    if found is None:
        return None
    chart = chart_from_dict(found["findings"]["charts"][0])
    more = experiments and el(
        "p", el("a", f"Experiment {row.experiment}", href=f"{experiments}/{row.experiment}.html")
    )
    return join([el("p", chart.title, class_="chart-title"), chart_plot(chart), more])
