"""Figures of convolutions: what rows of them read, and what other designs of one cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from fathom.costs.designs import Design
from fathom.costs.stacks import Window, paths, pitches
from fathom.figures.paper import BLUE, GREY, ORANGE, label, new_figure

_OUTLINED = 80  # cells of a map up to which each has an outline
_STEPS = ((BLUE, ""), (ORANGE, "/"), ("#1b8a5a", "."))


def pyramid(windows: Sequence[Window]) -> go.Figure:
    """One row of cells a map, the image below and the output pixel on top, all in image pixels.

    A cell is the darker the more ways lead from it to the output pixel; a hollow one is never read.
    """
    levels, steps = paths(windows), pitches(windows)
    ends = [_ends(ways, step) for ways, step in zip(levels, steps, strict=True)]
    figure = new_figure([_slope(ends, 0), _slope(ends, 1)], height=110 + 52 * len(levels))
    for height, (ways, step) in enumerate(zip(levels, steps, strict=True)):
        figure.add_trace(_cells(ways, step, height))
    names = ["image", *(f"{n}: {w.text}" for n, w in enumerate(windows, start=1))]
    figure.update_layout(showlegend=False, barmode="overlay", bargap=0.35, hovermode="closest")
    figure.update_xaxes(title_text="pixels of the image, from the middle", showgrid=False)
    return figure.update_yaxes(
        title_text="map after layer",
        tickvals=list(range(len(levels))),
        ticktext=[label(name) for name in names],
        showgrid=False,
    )


def _ends(ways: Mapping[int, int], step: int) -> tuple[float, float]:
    """Where a row of cells begins and ends on the image."""
    return min(ways) * step - step / 2, max(ways) * step + step / 2


def _slope(ends: Sequence[tuple[float, float]], side: int) -> go.Scatter:
    return go.Scatter(
        x=[end[side] for end in ends],
        y=list(range(len(ends))),
        mode="lines",
        line={"color": GREY, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )


def _cells(ways: Mapping[int, int], step: int, height: int) -> go.Bar:
    most, outline = max(ways.values()), 1 if len(ways) <= _OUTLINED else 0
    return go.Bar(
        orientation="h",
        base=[(place - 0.5) * step for place in ways],
        x=[step] * len(ways),
        y=[height] * len(ways),
        customdata=[[place, count] for place, count in ways.items()],
        marker={
            "color": [_shade(count / most) for count in ways.values()],
            "line": {"color": GREY, "width": outline},
        },
        hovertemplate="pixel %{customdata[0]}: %{customdata[1]:,} ways<extra></extra>",
    )


def _shade(share: float) -> str:
    """Blue, from nothing for 0 to one that stands out on either ground for 1."""
    return f"rgba(47, 127, 193, {0.9 * share:.3f})"


def seen(windows: Sequence[Window]) -> go.Figure:
    """The image under one output pixel: ways from each pixel to it, and the field of every layer.

    In percent of the pixel with most ways. Squares are what the middle pixel of each map sees.
    """
    ways = paths(windows)[0]
    side = np.array(list(ways.values()), np.float32) / max(ways.values())
    heat = go.Heatmap(
        x=list(ways),
        y=list(ways),
        z=100 * np.outer(side, side),
        zmin=0,
        zmax=100,
        colorscale="Viridis",
        colorbar={
            "title": {"text": "ways, of the most", "side": "bottom"},
            "ticksuffix": " %",
            "orientation": "h",
            "yref": "container",
            "y": 0.0,
            "yanchor": "bottom",
            "thickness": 12,
        },
        hovertemplate="%{x} right, %{y} down: %{z:.3~g} % of the most ways<extra></extra>",
    )
    figure = new_figure([heat], height=440, margin_b=110)
    fields = [len(paths(windows[:number])[0]) for number in range(len(windows) + 1)]
    for number, field in enumerate(dict.fromkeys(fields)):
        figure.add_shape(
            type="rect",
            x0=-field / 2,
            x1=field / 2,
            y0=-field / 2,
            y1=field / 2,
            line={"color": "white", "width": 2, "dash": "dot" if number else "solid"},
        )
    figure.update_xaxes(title_text="pixels right of the middle", constrain="domain", showgrid=False)
    return figure.update_yaxes(
        title_text="pixels below the middle",
        autorange="reversed",
        scaleanchor="x",
        constrain="domain",
        showgrid=False,
    )


def designs(found: Mapping[str, Design]) -> go.Figure:
    """A bar a design, by name, made of its convolutions one after another, in multiply-adds."""
    names = [label(name) for name in found]
    most = max(len(design.steps) for design in found.values())
    traces = []
    for number in range(most):
        colour, shape = _STEPS[number % len(_STEPS)]
        steps = [d.steps[number] if number < len(d.steps) else None for d in found.values()]
        traces.append(
            go.Bar(
                orientation="h",
                y=names,
                x=[step.macs / 1e6 if step else None for step in steps],
                name=f"convolution {number + 1}",
                marker={"color": colour, "pattern": {"shape": shape}},
                customdata=[label(step.text) if step else "" for step in steps],
                hovertemplate="%{customdata}: %{x:,.4~g} million<extra>%{y}</extra>",
            )
        )
    figure = new_figure(traces, height=130 + 38 * len(names), barmode="stack", bargap=0.3)
    figure.update_layout(legend_traceorder="normal")
    figure.update_xaxes(title_text="multiply-adds (millions)")
    return figure.update_yaxes(title_text="", autorange="reversed", showgrid=False)
