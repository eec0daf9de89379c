"""The section of the report that says what was wrong: cause, evidence, remedy."""

from __future__ import annotations

from fathom.doctor.causes import CAUSES
from fathom.doctor.mend import options
from fathom.doctor.nouns import Evidence, Finding
from fathom.figures.draw import draw
from fathom.report.markup import Cell, Html, bullets, details, el, facts, join, plot, table
from fathom.report.material import Material

_HEADS = ("Measured", "Value", "Speaks for it", "Threshold from")
_WHERE = 12  # names of layers or files that are shown


def doctor(run: Material) -> Html | None:
    """The findings in the order of what to mend first, or one line; None without a doctor."""
    findings = run.findings
    if findings is None:
        return None
    body = [_finding(finding) for finding in findings]
    return el(
        "section",
        el("h2", "Doctor"),
        *(body or [el("p", verdict(run), class_="quiet")]),
        id="doctor",
    )


def verdict(run: Material) -> str:
    """What is said of a run in which nothing was found."""
    if run.doctor["observed"]["over"]:
        return "Healthy: the doctor who attended the run found nothing wrong."
    return "The doctor who attends the run has found nothing wrong so far."


def _finding(finding: Finding) -> Html:
    chart = finding.chart
    return join(
        [
            el("h3", CAUSES[finding.cause].title),
            el("p", finding.says),
            facts(_about(finding)),
            None if chart is None else plot(draw(chart), alt=chart.title, caption=chart.caption),
            table(_HEADS, map(_row, finding.evidence), label="Evidence")
            if finding.evidence
            else None,
            _rejected(finding),
        ]
    )


def _about(finding: Finding) -> list[tuple[str, object]]:
    """Remedy, place and time of a finding."""
    changes = options(finding.remedy)
    code = finding.remedy.code
    more = len(finding.where) - _WHERE
    where = ", ".join(finding.where[:_WHERE]) + (f", and {more} more" if more > 0 else "")
    return [
        ("What to do", finding.remedy.words),
        ("As options", el("code", f"fathom train {changes}") if changes else None),
        ("In a loop of one's own", el("pre", el("code", code)) if code else None),
        ("Where", where or None),
        ("Since", None if finding.since is None else f"step {finding.since:,}"),
    ]


def _row(one: Evidence) -> tuple[object, ...]:
    side = "above" if one.above else "below"
    return (
        one.quantity,
        Cell(f"{one.value:.4g}", one.value),
        f"{side} {one.threshold:.4g}",
        one.source,
    )


def _rejected(finding: Finding) -> Html | None:
    """What would look alike, folded away."""
    if not finding.rejected:
        return None
    items = [f"{CAUSES[other.cause].title}: {other.why}" for other in finding.rejected]
    return details("What else it might have been, and why it is not", bullets(items))
