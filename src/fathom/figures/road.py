"""A figure of networks that lie along a road: accuracy and cost, step by step."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fathom.figures.paper import BLUE, GREY, ORANGE, label, new_figure


def steps(
    names: Sequence[str], top1: Sequence[float], macs: Sequence[float], *, chosen: int
) -> go.Figure:
    """Accuracy in percent above multiply-adds in billions, for every step; one step is chosen.

    The chosen step is orange, and larger or hatched. A point's custom data is its number.
    """
    numbers = list(range(len(names)))
    here = [number == chosen for number in numbers]
    common = {"x": numbers, "customdata": numbers, "text": [label(name) for name in names]}
    colours = [ORANGE if mine else BLUE for mine in here]
    accuracy = go.Scatter(
        **common,
        y=list(top1),
        name="accuracy",
        mode="lines+markers",
        line={"color": GREY, "width": 1.5},
        marker={
            "color": colours,
            "size": [16 if mine else 10 for mine in here],
            "symbol": ["diamond" if mine else "circle" for mine in here],
            "opacity": 1,
        },
        hovertemplate="%{x} %{text}: %{y:.2f} %<extra></extra>",
    )
    costs = go.Bar(
        **common,
        y=list(macs),
        name="multiply-adds",
        textposition="none",
        marker={"color": colours, "pattern": {"shape": ["/" if mine else "" for mine in here]}},
        hovertemplate="%{x} %{text}: %{y:.2f} billion<extra></extra>",
    )
    figure = make_subplots(
        2,
        1,
        shared_xaxes=True,
        vertical_spacing=0.06,
        row_heights=[0.62, 0.38],
        figure=new_figure([], height=440, showlegend=False, hovermode="closest"),
    )
    figure.add_trace(accuracy, row=1, col=1).add_trace(costs, row=2, col=1)
    figure.update_layout(margin_t=12)
    figure.update_yaxes(title_text="top-1 (%)", row=1, col=1)
    figure.update_yaxes(title_text="multiply-adds (G)", row=2, col=1)
    figure.update_xaxes(tickvals=[0, 3, 6, 9, 12], tickangle=0, showgrid=False)
    return figure.update_xaxes(title_text="step", row=2, col=1)
