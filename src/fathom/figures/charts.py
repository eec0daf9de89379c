"""Charts as plain values, which travel in a results file and are drawn wherever they are shown.

Free of Plotly; `fathom.figures.draw` draws them. Every name and title is plain text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Scale = Literal["linear", "log"]


@dataclass(frozen=True)
class Axis:
    """What an axis shows, with its unit: "Training error (%)"."""

    title: str
    scale: Scale = "linear"


@dataclass(frozen=True)
class Series:
    """A line through (x, y), with a band from low to high where those are known."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


@dataclass(frozen=True)
class LineChart:
    """Lines with bands over a common axis. caption says data, size, length, seeds, what a band is.

    marked: draw the points of every line, as where x are few choices and not a course of time.
    """

    title: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    caption: str
    marked: bool = False


@dataclass(frozen=True)
class Point:
    """A value with its interval, None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class PointChart:
    """For every category (a row), one point of each group; value_axis says what the points are.

    points: group -> one point a category, None where there is none. reference: a line to compare
    with, such as 0 or chance.
    """

    title: str
    categories: Sequence[str]
    value_axis: Axis
    points: Mapping[str, Sequence[Point | None]]
    caption: str
    reference: float | None = None


@dataclass(frozen=True)
class Panel:
    """A map: values[row][column] at the places y[row], x[column]."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    values: Sequence[Sequence[float]]


@dataclass(frozen=True)
class MapChart:
    """Maps side by side under one scale of colour: contours where asked, else cells."""

    title: str
    x: Axis
    y: Axis
    value: str
    panels: Sequence[Panel]
    caption: str
    contours: bool = False
    log_values: bool = False


Chart = LineChart | PointChart | MapChart
_KINDS: dict[str, type[LineChart] | type[PointChart] | type[MapChart]] = {
    "lines": LineChart,
    "points": PointChart,
    "maps": MapChart,
}


def chart_to_dict(chart: Chart) -> dict[str, Any]:
    """Plain JSON values, with the kind."""
    kind = next(name for name, cls in _KINDS.items() if isinstance(chart, cls))
    return {"kind": kind, **asdict(chart)}


def chart_from_dict(values: Mapping[str, Any]) -> Chart:
    """The inverse of `chart_to_dict`."""
    rest = dict(values)
    kind = rest.pop("kind")
    if kind == "points":
        points = {
            name: [None if p is None else Point(**p) for p in row]
            for name, row in rest["points"].items()
        }
        return PointChart(**{**rest, "value_axis": Axis(**rest["value_axis"]), "points": points})
    rest["x"], rest["y"] = Axis(**rest["x"]), Axis(**rest["y"])
    if kind == "lines":
        return LineChart(**{**rest, "series": [Series(**s) for s in rest["series"]]})
    return MapChart(**{**rest, "panels": [Panel(**p) for p in rest["panels"]]})
