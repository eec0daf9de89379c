"""Figures of what a network looks at."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from fathom.figures.paper import ORANGE, label, new_figure


def occlusion(
    probabilities: Sequence[Sequence[float]],
    tops: Sequence[Sequence[str]],
    centres: Sequence[float],
    *,
    answer: str,
    image_size: int,
) -> go.Figure:
    """The probability of a class by where a square hides the picture, as (rows, columns).

    tops: what is likeliest at each place, crossed where it is not the answer; centres: of the
    square, in pixels.
    """
    rows = [[label(name) for name in row] for row in tops]
    crossed = [
        (x, y)
        for y, row in zip(centres, tops, strict=True)
        for x, name in zip(centres, row, strict=True)
        if name != answer
    ]
    ground = go.Heatmap(
        x=list(centres),
        y=list(centres),
        z=[[100 * value for value in row] for row in probabilities],
        customdata=rows,
        colorscale="Cividis",
        colorbar={"title": {"text": "%"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{z:.1f} %; likeliest: %{customdata}<extra></extra>",
    )
    crosses = go.Scatter(
        x=[x for x, _ in crossed],
        y=[y for _, y in crossed],
        mode="markers",
        marker={
            "symbol": "x",
            "size": 9,
            "color": ORANGE,
            "line": {"color": "#ffffff", "width": 1},
        },
        hoverinfo="skip",
    )
    figure = new_figure([ground, crosses], height=340, showlegend=False)
    whole = {"range": [0, image_size], "showgrid": False, "title_text": "pixels"}
    figure.update_xaxes(**whole, constrain="domain")
    return figure.update_yaxes(
        **(whole | {"range": [image_size, 0]}), scaleanchor="x", constrain="domain"
    )
