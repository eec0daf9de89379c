"""Charts as Plotly figures. What a chart says in words, its title and caption, is the page's."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Any, NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from fathom.figures.charts import Axis, Chart, LineChart, MapChart, Panel, Point, PointChart, Series
from fathom.figures.paper import BLUE, GREY, MARKED, ORANGE, label, new_figure


class _Look(NamedTuple):
    colour: str
    dash: str
    symbol: str


# Of middle lightness, as all our colours are; neighbours differ in dash and marker, too.
LOOKS = (
    _Look(BLUE, "solid", "circle"),
    _Look(ORANGE, "dash", "diamond-open"),
    _Look("#1b8a5a", "dot", "square"),
    _Look("#a066c4", "dashdot", "triangle-up-open"),
    _Look(GREY, "10px,3px", "x"),
    _Look("#c74d79", "solid", "triangle-down"),
    _Look("#9a7b0a", "dash", "circle-open"),
    _Look("#12899a", "dot", "square-open"),
)
_BAND = 0.16  # opacity
_LABEL = 18  # characters of a category's name on a line
_LEVELS = 8  # contours, about
_CHOICES = 9  # values of x up to which each is written
# As in the confusion matrix: from nothing to a blue that text stays readable on.
_SHADE = [[0.0, "rgba(47, 127, 193, 0.03)"], [1.0, "rgba(47, 127, 193, 0.75)"]]


def draw(chart: Chart) -> go.Figure:
    """A chart -> its figure, with axes but without title and caption.

    Values that are no numbers, and those that a logarithmic axis has no place for, are left out;
    an interval that goes below such an axis ends at the lowest value drawn.
    """
    if isinstance(chart, LineChart):
        return _lines(chart)
    return _points(chart) if isinstance(chart, PointChart) else _maps(chart)


def _shown(value: float | None, axis: Axis) -> bool:
    """Whether the axis has a place for the value."""
    return value is not None and math.isfinite(value) and (axis.scale == "linear" or value > 0)


def _lowest(values: Sequence[float | None], axis: Axis) -> float:
    """What an interval on this axis may go down to."""
    if axis.scale == "linear":
        return -math.inf
    return min((value for value in values if value is not None and _shown(value, axis)), default=1)


def _lines(chart: LineChart) -> go.Figure:
    lowest = _lowest([y for series in chart.series for y in series.y], chart.y)
    traces: list[go.Scatter] = []
    for series, look in zip(chart.series, cycle(LOOKS), strict=False):
        if series.low is not None and series.high is not None:
            traces.append(_band(chart, series, look, lowest))
        traces.append(_line(chart, series, look))
    figure = new_figure(traces, height=380 + 12 * len(chart.series), hovermode="closest")
    figure.update_xaxes(**_axis(chart.x, [x for series in chart.series for x in series.x]))
    figure.update_yaxes(**_axis(chart.y, [y for trace in traces for y in trace.y]))
    choices = sorted({x for series in chart.series for x in series.x if _shown(x, chart.x)})
    if chart.marked and len(choices) <= _CHOICES:
        figure.update_xaxes(tickvals=choices, ticktext=[f"{x:g}" for x in choices])
    return figure


def _line(chart: LineChart, series: Series, look: _Look) -> go.Scatter:
    kept = [
        (x, y)
        for x, y in zip(series.x, series.y, strict=True)
        if _shown(x, chart.x) and _shown(y, chart.y)
    ]
    marked = chart.marked and len(kept) <= MARKED
    return go.Scatter(
        x=[x for x, _ in kept],
        y=[y for _, y in kept],
        name=label(series.name),
        legendgroup=label(series.name),
        mode="lines+markers" if marked or len(kept) == 1 else "lines",
        line={"color": look.colour, "width": 2, "dash": look.dash},
        marker={"color": look.colour, "size": 8, "symbol": look.symbol},
        hovertemplate="%{x:.4~g}: %{y:.4~g}",
    )


def _band(chart: LineChart, series: Series, look: _Look, lowest: float) -> go.Scatter:
    assert series.low is not None
    assert series.high is not None
    edges = [
        (x, max(low, lowest), high)
        for x, low, high in zip(series.x, series.low, series.high, strict=True)
        if _shown(x, chart.x) and _shown(high, chart.y) and math.isfinite(low)
    ]
    return go.Scatter(
        x=[x for x, _, _ in edges] + [x for x, _, _ in reversed(edges)],
        y=[high for _, _, high in edges] + [low for _, low, _ in reversed(edges)],
        mode="lines",
        line={"width": 0},
        fill="toself",
        fillcolor=_clear(look.colour, _BAND),
        hoverinfo="skip",
        showlegend=False,
        legendgroup=label(series.name),
    )


def _clear(colour: str, opacity: float) -> str:
    """#2f7fc1 with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def _axis(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Title and scale. A logarithmic axis is marked at powers of ten, or at 1, 2, 5, 10, ... where
    the values span less than two of them."""
    told = {"title_text": label(axis.title), "type": axis.scale}
    shown = [math.log10(value) for value in values if axis.scale == "log" and _shown(value, axis)]
    if not shown:
        return told
    span = max(shown) - min(shown)
    return {**told, "exponentformat": "power", "dtick": "D2" if span < 2 else math.ceil(span / 8)}


def _points(chart: PointChart) -> go.Figure:
    """A row a category, the first on top, in which the groups lie one below another."""
    axis, rows, groups = chart.value_axis, len(chart.categories), len(chart.points)
    found = [point for points in chart.points.values() for point in points if point]
    lowest = _lowest([point.value for point in found], axis)
    names = ["<br>".join(map(label, textwrap.wrap(name, _LABEL))) for name in chart.categories]
    traces = []
    for number, ((group, points), look) in enumerate(
        zip(chart.points.items(), cycle(LOOKS), strict=False)
    ):
        offset = 0.7 * ((number + 0.5) / groups - 0.5)
        kept = [
            (row + offset, names[row], point)
            for row, point in enumerate(points)
            if point is not None and _shown(point.value, axis)
        ]
        traces.append(_group(group, kept, look, lowest))
    tallest = max((name.count("<br>") + 1 for name in names), default=1)
    row = max(18 * groups + 12, 17 * tallest + 10, 30)
    figure = new_figure(traces, height=120 + row * rows, showlegend=groups > 1)
    if chart.reference is not None:
        figure.add_vline(x=chart.reference, line={"color": GREY, "width": 1.5, "dash": "dot"})
    figure.update_xaxes(**_axis(axis, [end for trace in traces for end in _ends(trace)]))
    figure.update_yaxes(
        tickvals=list(range(rows)), ticktext=names, range=[rows - 0.5, -0.5], showgrid=False
    )
    for row_edge in range(1, rows if groups > 1 else 0):
        figure.add_hline(y=row_edge - 0.5, line={"color": GREY, "width": 0.5}, opacity=0.4)
    return figure


def _ends(group: go.Scatter) -> list[float]:
    """The ends of all intervals."""
    lows = [x - less for x, less in zip(group.x, group.error_x.arrayminus, strict=True)]
    return lows + [x + more for x, more in zip(group.x, group.error_x.array, strict=True)]


def _group(
    group: str, kept: Sequence[tuple[float, str, Point]], look: _Look, lowest: float
) -> go.Scatter:
    """Points with their intervals, at places between the rows."""
    spans = [
        (p.value, p.value, p.value)
        if p.low is None or p.high is None
        else (p.value, max(p.low, lowest), p.high)
        for _, _, p in kept
    ]
    intervals = [_interval(point) for _, _, point in kept]
    return go.Scatter(
        x=[value for value, _, _ in spans],
        y=[place for place, _, _ in kept],
        name=label(group),
        mode="markers",
        marker={"color": look.colour, "size": 9, "symbol": look.symbol, "line_color": look.colour},
        error_x={
            "type": "data",
            "array": [high - value for value, _, high in spans],
            "arrayminus": [value - low for value, low, _ in spans],
            "color": look.colour,
            "thickness": 1.5,
            "width": 4,
        },
        customdata=[[name, text] for (_, name, _), text in zip(kept, intervals, strict=True)],
        hovertemplate="%{customdata[0]}: %{x:.4~g}%{customdata[1]}",
    )


def _interval(point: Point) -> str:
    if point.low is None or point.high is None:
        return ""
    return f" ({point.low:.4g} to {point.high:.4g})"


def _maps(chart: MapChart) -> go.Figure:
    """Two maps in a row, all under one scale of colour that is also one of lightness."""
    columns = min(2, len(chart.panels))
    rows = math.ceil(len(chart.panels) / columns)
    figure = make_subplots(
        rows,
        columns,
        subplot_titles=[label(panel.name) for panel in chart.panels],
        horizontal_spacing=0.16,
        vertical_spacing=0.36 / rows,
        figure=new_figure([], height=110 + 250 * rows, showlegend=False),
    )
    levels = _levels(chart)
    for number, panel in enumerate(chart.panels):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        for trace in _panel(chart, panel, levels if chart.contours else ()):
            figure.add_trace(trace, **place)
        figure.update_xaxes(title_text=label(chart.x.title), type=chart.x.scale, **place)
        figure.update_yaxes(type=chart.y.scale, **place)
        if place["col"] == 1:
            figure.update_yaxes(title_text=label(chart.y.title), **place)
    figure.update_annotations(font_size=13)
    figure.update_xaxes(showgrid=False, nticks=4, tickangle=0)
    figure.update_yaxes(showgrid=False, nticks=6)
    return figure.update_layout(coloraxis=_colours(chart, levels))


def _colours(chart: MapChart, levels: Sequence[float]) -> dict[str, Any]:
    """The common scale, with marks at the values themselves where their logarithms are drawn."""
    bar = {
        "title": {"text": label(chart.value), "side": "bottom", "font": {"size": 13}},
        "orientation": "h",
        "yref": "container",
        "y": 0.0,
        "yanchor": "bottom",
        "thickness": 12,
        "tickvals": [_height(chart, level) for level in levels],
        "ticktext": [f"{level:.4g}" for level in levels],
        "outlinewidth": 0,
    }
    return {"colorscale": _SHADE if chart.contours else "Cividis", "colorbar": bar}


def _height(chart: MapChart, value: float) -> float | None:
    """A value as it is coloured; None, which is left blank, where it cannot be."""
    if not math.isfinite(value) or (chart.log_values and value <= 0):
        return None
    return math.log10(value) if chart.log_values else value


def _levels(chart: MapChart) -> list[float]:
    """Round values within those of all panels: 1, 2 or 5 times a power of ten, or every so much."""
    found = [
        v for p in chart.panels for line in p.values for v in line if _height(chart, v) is not None
    ]
    if not found or min(found) == max(found):
        return found[:1]
    low, high = min(found), max(found)
    if chart.log_values:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        digits = (1, 2, 5) if len(powers) <= 5 else (1,)
        every = math.ceil(len(powers) / 10)
        marks = [digit * 10.0**power for power in powers[::every] for digit in digits]
    else:
        step = _round_up((high - low) / _LEVELS)
        marks = [step * k for k in range(math.floor(low / step), math.ceil(high / step) + 1)]
    return [mark for mark in marks if low <= mark <= high]


def _round_up(value: float) -> float:
    """To 1, 2, 5 or 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= value * (1 - 1e-9))


def _panel(chart: MapChart, panel: Panel, levels: Sequence[float]) -> Iterator[Any]:
    """The coloured ground, and a line a level.

    Plotly writes at a contour the value that it was drawn at. Logarithms are therefore shifted, for
    each level, by what makes them equal the level's own value there.
    """
    heights = [[_height(chart, value) for value in row] for row in panel.values]
    yield go.Heatmap(
        x=list(panel.x),
        y=list(panel.y),
        z=heights,
        customdata=[list(row) for row in panel.values],
        coloraxis="coloraxis",
        zsmooth="best" if levels else False,
        hovertemplate="%{x:.4~g}, %{y:.4~g}: %{customdata:.4~g}<extra></extra>",
    )
    for level in levels:
        shift = level - (_height(chart, level) or 0.0)
        yield go.Contour(
            x=list(panel.x),
            y=list(panel.y),
            z=[[None if z is None else float(f"{z + shift:.5g}") for z in row] for row in heights],
            autocontour=False,
            contours={
                "start": level,
                "end": level,
                "size": 1,
                "coloring": "none",
                "showlabels": True,
                "labelfont": {"size": 11},
                "labelformat": ".4~g",
            },
            line={"color": GREY, "width": 1.2},
            showscale=False,
            hoverinfo="skip",
        )
