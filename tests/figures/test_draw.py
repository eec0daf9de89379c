"""Charts, drawn: what is shown where, and that it can be read in grey."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.figures import draw
from fathom.figures.charts import (
    Axis,
    Chart,
    LineChart,
    MapChart,
    Panel,
    Point,
    PointChart,
    Series,
)
from fathom.figures.draw import LOOKS
from tests.test_figures import luminance

STEPS, LOSS = Axis("Step"), Axis("Loss (nats)")
PROPERTY = settings(deadline=None, derandomize=True, database=None, max_examples=50)


def lines(*series: Series, y: Axis = LOSS, marked: bool = False) -> LineChart:
    return LineChart("Title", STEPS, y, series, "Caption.", marked)


def maps(*values: list[list[float]], **options: Any) -> MapChart:
    panels = [
        Panel(f"map {number}", range(len(rows[0])), range(len(rows)), rows)
        for number, rows in enumerate(values)
    ]
    return MapChart("Title", Axis("Column"), Axis("Row"), "Loss (nats)", panels, "C.", **options)


POINTS = PointChart(
    "Title",
    ["plain", "residual"],
    Axis("Error (%)"),
    {"training": [Point(10, 8, 13), None], "test": [Point(20), Point(0.5, -1, 0.0)]},
    "Caption.",
    reference=50.0,
)
CHARTS: dict[str, Chart] = {
    "lines": lines(Series("a", [1, 2], [3.0, 4.0], [2.0, 3.0], [4.0, 5.0])),
    "points": POINTS,
    "maps": maps([[1.0, 2.0], [3.0, 4.0]]),
    "contours": maps([[1.0, 2.0], [3.0, 4.0]], contours=True),
}


@pytest.mark.parametrize("name", CHARTS)
def test_charts_are_drawn_in_the_common_style(name: str) -> None:
    figure = draw(CHARTS[name])
    assert figure.layout.width is None
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"
    assert any(axis.title.text for axis in figure.select_xaxes())
    json.dumps(figure.to_plotly_json())


@pytest.mark.parametrize("look", LOOKS)
def test_colours_stand_out_on_white_and_on_near_black(look: Any) -> None:
    ours = luminance(look.colour)
    assert 1.05 / (ours + 0.05) >= 3
    assert (ours + 0.05) / (luminance("#14171b") + 0.05) >= 3


def test_lines_are_told_apart_without_colour() -> None:
    series = [Series(f"line {i}", [1, 2], [i, i + 1]) for i in range(len(LOOKS))]
    traces = draw(lines(*series, marked=True)).data
    seen = [(trace.line.dash, trace.marker.symbol) for trace in traces]
    assert len(set(seen)) == len(LOOKS)
    assert all(one[0] != other[0] and one[1] != other[1] for one, other in pairwise(seen))


def test_a_ninth_line_is_drawn_too() -> None:
    traces = draw(lines(*(Series(str(i), [1], [i]) for i in range(9)))).data
    assert [trace.name for trace in traces] == [str(i) for i in range(9)]


def test_a_band_goes_out_along_the_upper_and_back_along_the_lower_edge() -> None:
    series = Series("a", [1, 2], [3.0, 4.0], [2.0, 3.5], [4.0, 6.0])
    band, line = draw(lines(series)).data
    assert list(band.x) == [1, 2, 2, 1]
    assert list(band.y) == [4.0, 6.0, 3.5, 2.0]
    assert (band.fill, band.legendgroup, band.showlegend) == ("toself", line.legendgroup, False)
    assert band.fillcolor.startswith("rgba(")
    assert (list(line.x), list(line.y)) == ([1, 2], [3.0, 4.0])


def test_what_an_axis_has_no_place_for_is_left_out() -> None:
    values = [1.0, math.nan, math.inf, 0.0, -1.0]
    assert list(draw(lines(Series("a", range(5), values))).data[0].y) == [1.0, 0.0, -1.0]
    log = lines(Series("a", range(5), values), y=Axis("Loss", "log"))
    assert list(draw(log).data[0].y) == [1.0]


def test_a_band_below_a_logarithmic_axis_ends_at_the_lowest_value() -> None:
    series = Series("a", [1, 2], [1.0, 0.1], [0.5, -1.0], [2.0, 1.0])
    band, _ = draw(lines(series, y=Axis("Loss", "log"))).data
    assert list(band.y) == [2.0, 1.0, 0.1, 0.5]


@pytest.mark.parametrize(("highest", "dtick"), [(50.0, "D2"), (1e4, 1), (1e20, 3)])
def test_logarithmic_axes_have_a_few_marks(highest: float, dtick: object) -> None:
    figure = draw(lines(Series("a", [1, 2], [1.0, highest]), y=Axis("Loss", "log")))
    assert figure.layout.yaxis.dtick == dtick
    assert figure.layout.xaxis.dtick is None


def test_few_choices_are_each_written_on_the_axis() -> None:
    chart = lines(Series("a", [1, 8, 256], [3.0, 4.0, 5.0]), marked=True)
    assert list(draw(chart).layout.xaxis.ticktext) == ["1", "8", "256"]
    many = lines(Series("a", range(10), [1.0] * 10), marked=True)
    assert draw(many).layout.xaxis.ticktext is None


def test_points_lie_in_their_row_with_their_intervals() -> None:
    training, test = draw(POINTS).data
    assert list(training.x) == [10]
    assert (training.error_x.array, training.error_x.arrayminus) == ((3,), (2,))
    assert list(test.x) == [20, 0.5]
    assert (test.error_x.array, test.error_x.arrayminus) == ((0, -0.5), (0, 1.5))
    assert [round(y) for y in test.y] == [0, 1]
    assert training.y[0] < test.y[0], "the first group is on top, as the axis goes down"
    assert list(draw(POINTS).layout.yaxis.range) == [1.5, -0.5]
    assert draw(POINTS).layout.shapes[0].x0 == 50.0


@PROPERTY
@given(groups=st.integers(1, 8), rows=st.integers(1, 6))
def test_no_point_leaves_its_row_or_covers_another(groups: int, rows: int) -> None:
    names = [f"row {i}" for i in range(rows)]
    points = {f"group {g}": [Point(1.0)] * rows for g in range(groups)}
    traces = draw(PointChart("T", names, Axis("v"), points, "c")).data
    places = [[trace.y[row] - row for trace in traces] for row in range(rows)]
    for found in places:
        assert all(abs(place) < 0.5 for place in found)
        assert all(below - above > 0.08 for above, below in pairwise(found))


def test_intervals_end_at_the_lowest_value_of_a_logarithmic_axis() -> None:
    chart = PointChart("T", ["a"], Axis("v", "log"), {"g": [Point(2.0, -1.0, 5.0)]}, "c")
    (trace,) = draw(chart).data
    assert trace.error_x.arrayminus == (0.0,)


def test_long_names_go_over_several_lines() -> None:
    name = "a plain network of fifty-six layers"
    figure = draw(PointChart("T", [name], Axis("v"), {"g": [Point(1.0)]}, "c"))
    (text,) = figure.layout.yaxis.ticktext
    assert text.replace("<br>", " ") == name
    assert all(len(part) <= 18 for part in text.split("<br>"))


def test_names_reach_plotly_escaped() -> None:
    bad = "<b>x</b> $y$ $z$"
    charts: list[Chart] = [
        LineChart(bad, Axis(bad), Axis(bad), [Series(bad, [1], [1.0])], bad),
        PointChart(bad, [bad], Axis(bad), {bad: [Point(1.0)]}, bad),
        MapChart(bad, Axis(bad), Axis(bad), bad, [Panel(bad, [0], [0], [[1.0]])], bad),
    ]
    for chart in charts:
        text = json.dumps(draw(chart).to_plotly_json())
        assert "<b>" not in text
        assert "$" not in text


def test_maps_share_one_scale_and_go_two_in_a_row() -> None:
    figure = draw(maps(*([[float(i), 2.0]] for i in range(3))))
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert len({axis.domain for axis in figure.select_xaxes()}) == 2
    assert figure.layout.coloraxis.colorbar.title.text == "Loss (nats)"
    one, three = (draw(maps(*[[[1.0, 2.0]]] * n)).layout.height for n in (1, 3))
    assert three > one


@pytest.mark.parametrize("scale", ["Cividis", None])
def test_scales_of_colour_are_scales_of_lightness(scale: str | None) -> None:
    figure = draw(CHARTS["maps" if scale else "contours"])
    stops = [stop for _, stop in figure.layout.coloraxis.colorscale]
    if scale:
        shades = [luminance(stop) for stop in stops]
        assert all(darker < lighter for darker, lighter in pairwise(shades))
    else:
        assert [float(stop.split(",")[-1].rstrip(")")) for stop in stops] == [0.03, 0.75]


def test_contours_of_logarithms_are_drawn_at_and_labelled_with_the_values() -> None:
    chart = maps([[0.1, 1.0, 1000.0]], [[10.0, 20.0, math.nan]], contours=True, log_values=True)
    figure = draw(chart)
    ground = [trace for trace in figure.data if trace.type == "heatmap"]
    assert [list(row) for row in ground[0].z] == [[-1.0, 0.0, 3.0]]
    assert ground[1].z[0][2] is None
    levels = list(figure.layout.coloraxis.colorbar.ticktext)
    marks = "0.1 0.2 0.5 1 2 5 10 20 50 100 200 500 1000"
    assert levels == marks.split()
    for trace in figure.data:
        if trace.type == "contour" and trace.xaxis == "x":
            level = trace.contours.start
            shift = level - math.log10(level)
            expected = [math.log10(value) + shift for value in (0.1, 1.0, 1000.0)]
            assert list(trace.z[0]) == pytest.approx(expected, rel=1e-4)


@PROPERTY
@given(low=st.floats(-1e6, 1e6), span=st.floats(1e-3, 1e6))
def test_levels_are_round_and_within_the_values(low: float, span: float) -> None:
    figure = draw(maps([[low, low + span]], contours=True))
    levels = [t.contours.start for t in figure.data if t.type == "contour"]
    assert 3 <= len(levels) <= 10
    assert all(low <= level <= low + span for level in levels)
    steps = [after - before for before, after in pairwise(levels)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=1e-3)
    assert f"{steps[0]:.1e}"[:3] in ("1.0", "2.0", "5.0")


def test_a_map_of_one_value_is_drawn() -> None:
    assert len(draw(maps([[2.0, 2.0]])).data) == 1
    assert len(draw(maps([[math.nan]], contours=True)).data) == 1
