"""Figures of networks: all of them by cost and accuracy, and one of them stage by stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from fathom.figures.paper import BLUE, GREY, ORANGE, label, new_figure

_LOOKS = (
    ("#2f7fc1", "circle"),
    ("#d55e00", "diamond"),
    ("#1b8a5a", "square"),
    ("#a3519b", "x"),
    ("#b0761a", "triangle-up"),
    ("#6a6ad1", "cross"),
    ("#c2504f", "star"),
    ("#4c8f96", "pentagon"),
    ("#c74d79", "triangle-down"),
)


@dataclass(frozen=True)
class Dot:
    """A network on a chart: where it stands, in full or greyed out, and what it says of itself."""

    name: str
    family: str
    x: float
    y: float
    says: str
    fits: bool = True


def networks(
    dots: Sequence[Dot],
    frontier: Sequence[Dot],
    *,
    x: str,
    y: str,
    log: bool,
    chosen: Sequence[str] = (),
) -> go.Figure:
    """One dot a network, families in colour and marker and joined by a line; the frontier dashed.

    Those that do not fit the limits are grey; those chosen wear a ring.
    """
    traces: list[go.Scatter] = []
    families = list(dict.fromkeys(dot.family for dot in dots))
    out = [dot for dot in dots if not dot.fits]
    if out:
        traces.append(_markers(out, "over the limits", GREY, "circle-open", line=False))
    for place, family in enumerate(families):
        colour, symbol = _LOOKS[place % len(_LOOKS)]
        own = sorted((d for d in dots if d.family == family and d.fits), key=lambda d: d.x)
        if own:
            traces.append(_markers(own, family, colour, symbol, line=True))
    if len(frontier) > 1:
        edge = sorted(frontier, key=lambda d: d.x)
        traces.append(
            go.Scatter(
                x=[d.x for d in edge],
                y=[d.y for d in edge],
                name="frontier",
                mode="lines",
                line={"color": GREY, "width": 2, "dash": "dash", "shape": "hv"},
                hoverinfo="skip",
            )
        )
    ringed = [d for d in dots if d.name in chosen]
    if ringed:
        traces.append(
            go.Scatter(
                x=[d.x for d in ringed],
                y=[d.y for d in ringed],
                name="chosen",
                mode="markers+text",
                text=[label(d.name) for d in ringed],
                textposition="top center",
                marker={"size": 17, "symbol": "circle-open", "color": ORANGE, "line": {"width": 2}},
                hoverinfo="skip",
            )
        )
    figure = new_figure(traces, height=520, hovermode="closest")
    figure.update_layout(legend={"y": -0.2, "yanchor": "top"}, margin_t=12)
    figure.update_xaxes(title_text=x, type="log" if log else "linear")
    return figure.update_yaxes(title_text=y)


def _markers(dots: Sequence[Dot], name: str, colour: str, symbol: str, *, line: bool) -> go.Scatter:
    return go.Scatter(
        x=[d.x for d in dots],
        y=[d.y for d in dots],
        name=label(name),
        mode="lines+markers" if line else "markers",
        line={"color": colour, "width": 1},
        marker={"color": colour, "symbol": symbol, "size": 9},
        customdata=[d.name for d in dots],
        text=[label(d.says) for d in dots],
        hovertemplate="%{customdata}<br>%{text}<extra></extra>",
    )


def stages(names: Sequence[str], sizes: Sequence[int], channels: Sequence[int]) -> go.Figure:
    """Side of the map in pixels and channels, stage by stage, both on a logarithmic axis."""
    traces = [
        go.Scatter(
            x=list(names),
            y=list(values),
            name=title,
            mode="lines+markers",
            line={"color": colour, "width": 2, "dash": dash},
            marker={"symbol": symbol, "size": 8, "color": colour},
            hovertemplate=f"%{{x}}: %{{y:,}} {title}<extra></extra>",
        )
        for title, values, colour, dash, symbol in (
            ("pixels a side", sizes, BLUE, "solid", "circle"),
            ("channels", channels, ORANGE, "3px,3px", "diamond-open"),
        )
    ]
    figure = new_figure(traces, height=320)
    return figure.update_yaxes(type="log", title_text="pixels a side, channels")


def layer_costs(names: Sequence[str], params: Sequence[int], macs: Sequence[int]) -> go.Figure:
    """Where parameters and multiply-adds sit, layer by layer, in percent of the whole."""
    traces = []
    for title, values, colour in (("parameters", params, BLUE), ("multiply-adds", macs, ORANGE)):
        whole = sum(values) or 1
        traces.append(
            go.Bar(
                x=list(range(1, len(names) + 1)),
                y=[100 * value / whole for value in values],
                name=title,
                marker={"color": colour, "pattern": {"shape": "/" if colour == ORANGE else ""}},
                customdata=[[label(n), v] for n, v in zip(names, values, strict=True)],
                hovertemplate="%{customdata[0]}: %{customdata[1]:,} (%{y:.1f} %)"
                f"<extra>{title}</extra>",
            )
        )
    figure = new_figure(traces, height=340, barmode="group", bargap=0.15)
    figure.update_xaxes(title_text="layer, from the image on")
    return figure.update_yaxes(title_text="share (%)")


def fields(depths: Sequence[int], sizes: Mapping[str, Sequence[float]], image: int) -> go.Figure:
    """Receptive field in pixels by layer, with the image's side as a line."""
    looks = zip(sizes.items(), _LOOKS, strict=False)
    traces = [
        go.Scatter(
            x=list(depths[: len(values)]),
            y=list(values),
            name=label(name),
            mode="lines",
            line={"color": colour, "width": 2, "shape": "hv"},
            hovertemplate="layer %{x}: %{y:,} pixels<extra></extra>",
        )
        for (name, values), (colour, _) in looks
    ]
    figure = new_figure(traces, height=320)
    figure.add_hline(
        y=image,
        line={"color": GREY, "dash": "dash", "width": 1.5},
        annotation={"text": f"the image: {image} pixels", "showarrow": False},
    )
    figure.update_xaxes(title_text="layer, from the image on")
    return figure.update_yaxes(title_text="receptive field (pixels a side)")
