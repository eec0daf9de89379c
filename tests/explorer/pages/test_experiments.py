"""Experiments on the page: what they are, and what their recorded run came to."""

from __future__ import annotations

from typing import Any

import pytest

from fathom.experiments import EXPERIMENTS, about
from fathom.explorer.pages import experiments
from fathom.explorer.pages.experiments import draw_about, draw_findings, page
from fathom.figures.charts import Axis, LineChart, Series, chart_to_dict
from tests.explorer.reading import figure_of, text_of


def recorded(name: str) -> dict[str, Any]:
    chart = LineChart(
        "Loss", Axis("Step"), Axis("Loss (nats)"), [Series("a", [1, 2], [3.5, 2.5])], "Why."
    )
    return {
        "title": "Does it?",
        "expected": "It does.",
        "setting": {
            "date": "2026-01-02",
            "data": "digits",
            "seeds": [0, 1, 2],
            "command": "fathom x",
        },
        "findings": {
            "sentences": ["It falls from 3.5 to 2.5."],
            "charts": [chart_to_dict(chart)],
            "verdicts": {
                "a.claim": {"verdict": "demonstrated", "computed": {}, "explanation": "."}
            },
        },
    }


def test_a_recorded_run_is_shown_with_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "recorded", recorded)
    found = draw_findings("degradation")
    said = text_of(found)
    for words in (
        "Does it?",
        "It does.",
        "2026-01-02",
        "It falls from 3.5",
        "a.claim: demonstrated",
    ):
        assert words in said
    lines = figure_of(found, "experiments-chart-0").data
    assert any(list(line.y) == [3.5, 2.5] for line in lines)


def test_without_a_record_it_says_how_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "recorded", lambda name: None)
    assert "fathom experiment norms" in text_of(draw_findings("norms"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_says_what_it_is(name: str) -> None:
    said = text_of(draw_about(name))
    assert about(name) in said
    assert EXPERIMENTS[name].source in said
    assert page().read(f"?experiment={name}")["experiment"] == name
