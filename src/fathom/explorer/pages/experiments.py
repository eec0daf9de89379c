"""The recorded experiments: what was expected, what came out, and the figures."""

from __future__ import annotations

from typing import Any

from dash import html

from fathom.experiments.registry import EXPERIMENTS, about
from fathom.explorer.controls import choice
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import facts, graph, message
from fathom.figures.charts import chart_from_dict
from fathom.figures.draw import draw
from fathom.ledger.recorded import recorded


def page() -> Page:
    """The page of experiments."""
    names = {name: f"{name}{'' if recorded(name) else ' (not recorded)'}" for name in EXPERIMENTS}
    return Page(
        path="experiments",
        title="Experiments",
        lead="The effects that made depth work, shown on real networks: with seeds, intervals, and "
        "what was expected before anybody looked.",
        controls=(choice("experiment", "Experiment", names, "degradation"),),
        cards=(
            Card("findings", "What came out", draw_findings, ("experiment",)),
            Card("about", "What it is", draw_about, ("experiment",)),
        ),
    )


def draw_findings(experiment: str) -> Any:
    """Sentences, charts and setting of a recorded run."""
    found = recorded(experiment)
    if found is None:
        return message(f"No run of it is recorded yet: `fathom experiment {experiment}` runs it.")
    setting, findings = found["setting"], found["findings"]
    plots = []
    for number, values in enumerate(findings["charts"]):
        chart = chart_from_dict(values)
        plots += [
            html.H3(chart.title),
            graph(f"experiments-chart-{number}", draw(chart), describes=chart.caption),
            html.P(chart.caption, className="quiet"),
        ]
    verdicts = ", ".join(f"{c}: {v['verdict']}" for c, v in findings["verdicts"].items())
    return [
        html.H3(found["title"]),
        facts(
            (
                ("Expected", found["expected"]),
                ("Verdict", verdicts),
                ("Recorded", f"{setting['date']} on {setting['data']}, seeds "
                             f"{', '.join(map(str, setting['seeds']))}"),
                ("Command", setting["command"]),
            )
        ),
        *[html.P(sentence) for sentence in findings["sentences"]],
        *plots,
    ]  # fmt: skip


def draw_about(experiment: str) -> Any:
    """Source, method and departures, as its function says them."""
    known = EXPERIMENTS[experiment]
    pairs = (("Shows", known.shows), ("Source", known.source))
    return [facts(pairs), html.Pre(about(experiment), className="diagram", tabIndex=0)]
