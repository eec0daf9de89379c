"""Figures of normalisation: how values lie, how statistics catch up, and what is averaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import plotly.graph_objects as go

from fathom.figures.charts import LineChart
from fathom.figures.draw import LOOKS, draw
from fathom.figures.paper import BLUE, GREY, ORANGE, label, new_figure

_BINS = 60
_ROWS = 8  # images of a batch that are drawn
_ACROSS, _UP = 0.1, 1.8  # how far the depth of a block goes: of its channels, and in images
Corners = Sequence[tuple[float, float]]


def histograms(
    sets: Mapping[str, Sequence[float]], *, low: float, high: float, value: str
) -> go.Figure:
    """Share of the values in each of 60 bins from low to high, in percent, one line a set.

    Bins reach on to the least and the largest value where these lie further out. The last set is
    filled.
    """
    low = min(low, *(min(values) for values in sets.values()))
    high = max(high, *(max(values) for values in sets.values()))
    traces = []
    # The colour of a set is its place from the end, so that one alone looks like the filled one.
    for (name, values), look in zip(sets.items(), LOOKS[len(sets) - 1 :: -1], strict=True):
        counts, edges = np.histogram(np.asarray(values), bins=_BINS, range=(low, high))
        traces.append(
            go.Scatter(
                x=((edges[1:] + edges[:-1]) / 2).tolist(),
                y=(100 * counts / len(values)).tolist(),
                name=label(name),
                mode="lines",
                line={"color": look.colour, "dash": look.dash, "width": 2, "shape": "hvh"},
                fill="tozeroy" if look is LOOKS[0] else None,
                hovertemplate="%{x:.3g}: %{y:.2f} %",
            )
        )
    figure = new_figure(traces, height=300, showlegend=True)
    figure.update_xaxes(title_text=label(value), range=[low, high])
    return figure.update_yaxes(title_text="share of the values (%)", rangemode="tozero")


def with_mark(chart: LineChart, x: float) -> go.Figure:
    """A chart with a dotted line at a place that somebody has chosen."""
    figure = draw(chart).update_layout(height=300)
    return figure.add_vline(x=x, line={"color": GREY, "width": 1.5, "dash": "dot"})


def block(averaged: Sequence[Sequence[bool]], *, image: int, channel: int) -> go.Figure:
    """A batch as a block of images (down), channels (across) and pixels (into the depth).

    averaged[n][c]: whether channel c of image n is averaged together with the chosen one. Eight
    images are drawn at most.
    """
    rows, columns = min(len(averaged), _ROWS), len(averaged[0])
    cells: dict[str, list[Corners]] = {"the others": [], "averaged with it": [], "the chosen": []}
    for row, column in product(range(rows), range(columns)):
        if (row, column) == (image, channel):
            kind = "the chosen"
        else:
            kind = "averaged with it" if averaged[row][column] else "the others"
        cells[kind] += _faces(row, column, columns)
    looks = zip(cells.items(), ((GREY, ""), (BLUE, "/"), (ORANGE, "x")), strict=True)
    traces = [_tiles(name, tiles, *look) for (name, tiles), look in looks]
    figure = new_figure(traces, height=110 + 22 * (rows + 2))
    figure.update_xaxes(
        title_text="channel",
        range=[0, columns * (1 + _ACROSS)],
        tickvals=[0.5, columns - 0.5],
        ticktext=[0, columns - 1],
        showgrid=False,
    )
    return figure.update_yaxes(
        title_text="image",
        range=[rows, -_UP],
        tickvals=[row + 0.5 for row in sorted({0, rows - 1})],
        ticktext=sorted({0, rows - 1}),
        showgrid=False,
    )


def _faces(row: int, column: int, columns: int) -> Iterator[Corners]:
    """The front of a cell, and what is seen of its depth at the top and at the right end."""
    across, left, right = _ACROSS * columns, column, column + 1
    yield ((left, row), (right, row), (right, row + 1), (left, row + 1))
    if row == 0:
        yield ((left, 0), (right, 0), (right + across, -_UP), (left + across, -_UP))
    if right == columns:
        behind = right + across
        yield ((right, row), (behind, row - _UP), (behind, row + 1 - _UP), (right, row + 1))


def _tiles(name: str, tiles: Sequence[Corners], colour: str, pattern: str) -> go.Scatter:
    """Polygons of one kind, in one trace; those without a pattern are outlines."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for corners in tiles:
        for x, y in (*corners, corners[0]):
            xs.append(x)
            ys.append(y)
        xs.append(None)
        ys.append(None)
    filled = {"fill": "toself", "fillpattern": _pattern(pattern, colour)} if pattern else {}
    return go.Scatter(
        x=xs,
        y=ys,
        name=name,
        mode="lines",
        line={"color": colour, "width": 0.6},
        hoverinfo="skip",
        **filled,
    )


def _pattern(shape: str, colour: str) -> dict[str, object]:
    return {"shape": shape, "bgcolor": colour, "fgcolor": "white", "size": 6, "solidity": 0.2}
