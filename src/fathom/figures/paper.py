"""What all figures have in common.

Every figure has a transparent ground and colours of middle lightness, at least 3 to 1 against white
and against near-black, so that one figure serves a light and a dark page. Lines differ in dash and
marker as well as in colour, so that they are told apart in grey. No figure has a fixed width; one
without a height fills the box it stands in.

Plotly reads a subset of HTML in labels: every name from the data goes through `label`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

BLUE, ORANGE, GREY = "#2f7fc1", "#d55e00", "#808790"
GRID = "rgba(128, 135, 144, 0.28)"
MARKED = 40  # points up to which every one gets a marker
LONGEST_LABEL = 22  # characters of a class name that an axis has room for

AXIS = {
    "automargin": True,
    "gridcolor": GRID,
    "linecolor": GREY,
    "showline": True,
    "ticks": "outside",
    "ticklen": 4,
    "tickcolor": GREY,
    "title": {"standoff": 10, "font": {"size": 13}},
    "zeroline": False,
}
_TEMPLATE = go.layout.Template(
    layout={
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": GREY},
        "margin": {"l": 8, "r": 24, "t": 36, "b": 48},
        "hoverlabel": {"font": {"family": "system-ui, sans-serif", "size": 13}},
        "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
        "xaxis": AXIS,
        "yaxis": AXIS,
    }
)


def new_figure(traces: Sequence[Any], **layout: Any) -> go.Figure:
    """A figure of these traces in the common style."""
    return go.Figure(list(traces), {"template": _TEMPLATE, **layout})


def label(name: str, longest: int | None = None) -> str:
    """A name as text that Plotly shows as it is, shortened in the middle where it is long."""
    if longest is not None and len(name) > longest:
        name = f"{name[: longest - 7]}…{name[-6:]}"
    return html.escape(name, quote=False).replace("$", "&#36;")  # two $ would ask for MathJax


def line(
    xs: Sequence[float], ys: Sequence[float], name: str, *, hover: str, second: bool = False
) -> go.Scatter:
    """A solid blue line, or a dotted orange one for the second; points are marked while few."""
    colour = ORANGE if second else BLUE
    return go.Scatter(
        x=list(xs),
        y=list(ys),
        name=name,
        mode="lines+markers" if len(xs) <= MARKED else "lines",
        line={"color": colour, "width": 2, "dash": "3px,3px" if second else "solid"},
        marker={"color": colour, "size": 7, "symbol": "diamond-open" if second else "circle"},
        hovertemplate=f"{hover}<extra>{name}</extra>",
    )


def finite(xs: Sequence[float], ys: Sequence[float | None]) -> tuple[list[float], list[float]]:
    """The points that have a finite y."""
    kept = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None and math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]
