"""Figures of a transfer: the race of its strategies, and their learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from fathom.figures.paper import BLUE, GREY, ORANGE, label, new_figure

_GREEN = "#1b8a5a"
# Colour, dash and marker of each strategy, told apart in grey, too.
_LOOKS = {
    "probe": (GREY, "dot", "square"),
    "partial": (ORANGE, "dashdot", "diamond"),
    "finetune": (BLUE, "solid", "circle"),
    "scratch": (_GREEN, "dash", "x"),
}


def race(candidates: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Top-1 of each strategy after its share of the race with its interval, and what is expected.

    candidates have strategy, top1, low, high and expected, all but the first as fractions.
    """
    names = [label(str(c["strategy"])) for c in candidates]
    measured = go.Scatter(
        x=[100 * c["top1"] for c in candidates],
        y=names,
        name="measured in the race",
        mode="markers",
        marker={"color": BLUE, "size": 9},
        error_x={
            "type": "data",
            "array": [100 * (c["high"] - c["top1"]) for c in candidates],
            "arrayminus": [100 * (c["top1"] - c["low"]) for c in candidates],
            "color": BLUE,
            "thickness": 1.5,
            "width": 5,
        },
        hovertemplate="%{y}: %{x:.1f} %<extra>measured</extra>",
    )
    expected = go.Scatter(
        x=[100 * c["expected"] for c in candidates],
        y=names,
        name="expected at the end",
        mode="markers",
        marker={"color": ORANGE, "size": 10, "symbol": "diamond-open"},
        hovertemplate="%{y}: %{x:.1f} %<extra>expected</extra>",
    )
    figure = new_figure([measured, expected], height=160 + 34 * len(names))
    figure.update_xaxes(title_text="Top-1 on validation images (%)")
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def learning(curves: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    """Top-1 against images a class, one line a strategy, with bands; both axes told in words.

    Each curve has points (images, accuracy) and bands (images, low, mid, high) in fractions.
    """
    traces: list[go.Scatter] = []
    for name, curve in curves.items():
        colour, dash, symbol = _LOOKS.get(name, (GREY, "solid", "circle"))
        bands = curve["bands"]
        xs = [band["images"] for band in bands]
        edge = [100 * band["high"] for band in bands]
        floor = [100 * band["low"] for band in reversed(bands)]
        traces.append(
            go.Scatter(
                x=[*xs, *reversed(xs)],
                y=[*edge, *floor],
                mode="lines",
                fill="toself",
                fillcolor=colour,
                opacity=0.13,
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
                legendgroup=name,
            )
        )
        traces.append(
            go.Scatter(
                x=xs,
                y=[100 * band["mid"] for band in bands],
                name=label(name),
                legendgroup=name,
                mode="lines",
                line={"color": colour, "width": 2, "dash": dash},
                hovertemplate="%{x:,.0f} images a class: %{y:.1f} %",
            )
        )
        traces.append(
            go.Scatter(
                x=[point["images"] for point in curve["points"]],
                y=[100 * point["accuracy"] for point in curve["points"]],
                name=f"{label(name)}, measured",
                legendgroup=name,
                showlegend=False,
                mode="markers",
                marker={"color": colour, "size": 8, "symbol": symbol},
                hovertemplate="%{x:,.0f} images a class: %{y:.1f} %",
            )
        )
    figure = new_figure(traces, height=420)
    figure.update_xaxes(title_text="Training images a class", type="log")
    return figure.update_yaxes(title_text="Top-1 on validation images (%)")
