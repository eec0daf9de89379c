"""Figures of normalisation: shares that add up, and blocks that show the cells they are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.figures.batch_norm import block, histograms, with_mark
from fathom.figures.charts import Axis, LineChart, Series
from fathom.figures.paper import BLUE, ORANGE

VALUES = st.lists(st.floats(-20, 20), min_size=1, max_size=40)


@settings(deadline=None, derandomize=True, database=None, max_examples=25)
@given(VALUES, VALUES)
def test_every_value_is_in_a_bin(one: list[float], other: list[float]) -> None:
    figure = histograms({"one": one, "other": other}, low=-1, high=1, value="x")
    assert [trace.name for trace in figure.data] == ["one", "other"]
    for trace in figure.data:
        assert sum(trace.y) == pytest.approx(100)
    low, high = figure.layout.xaxis.range
    assert low == min(-1, *one, *other)
    assert high == max(1, *one, *other)


def test_shares_are_those_of_the_bins() -> None:
    figure = histograms({"x": [0.05, 0.05, 0.05, 5.95]}, low=0, high=6, value="x")
    (trace,) = figure.data
    found = {round(x, 2): y for x, y in zip(trace.x, trace.y, strict=True) if y}
    assert found == {0.05: 75, 5.95: 25}


def test_sets_are_told_apart_without_colour() -> None:
    one, other = histograms({"a": [1.0], "b": [2.0]}, low=0, high=3, value="x").data
    assert one.line.dash != other.line.dash
    assert (one.fill, other.fill) == (None, "tozeroy")
    (alone,) = histograms({"a": [1.0]}, low=0, high=3, value="x").data
    assert alone.fill == "tozeroy"


def test_a_name_is_text() -> None:
    (trace,) = histograms({"<b>a</b>": [1.0]}, low=0, high=3, value="x").data
    assert trace.name == "&lt;b&gt;a&lt;/b&gt;"


def test_the_mark_stands_where_it_is_told() -> None:
    chart = LineChart("t", Axis("s"), Axis("v"), [Series("a", [0, 1, 2], [1, 2, 3])], "c")
    (mark,) = with_mark(chart, 2).layout.shapes
    assert (mark.x0, mark.x1) == (2, 2)


def fronts(figure: Any, colour: str) -> set[tuple[int, int]]:
    """Row and column of the front faces that are filled in a colour."""
    found = set()
    for trace in figure.data:
        if trace.fill != "toself" or trace.fillpattern.bgcolor != colour:
            continue
        for start in range(0, len(trace.x), 6):
            xs, ys = trace.x[start : start + 4], trace.y[start : start + 4]
            if xs[1] == xs[2] == xs[0] + 1 and ys[3] == ys[0] + 1 and ys[0] == ys[1]:
                found.add((ys[0], xs[0]))
    return found


def test_the_cells_of_a_block_are_those_averaged() -> None:
    averaged = [[row == 1 or column == 2 for column in range(4)] for row in range(3)]
    figure = block(averaged, image=1, channel=2)
    assert fronts(figure, ORANGE) == {(1, 2)}
    wanted = {(r, c) for r in range(3) for c in range(4) if averaged[r][c]} - {(1, 2)}
    assert fronts(figure, BLUE) == wanted
    patterns = [t.fillpattern.shape for t in figure.data if t.fill == "toself"]
    assert len(set(patterns)) == 2


def test_a_block_draws_eight_images_at_most() -> None:
    figure = block([[True, False]] * 256, image=2, channel=0)
    assert fronts(figure, BLUE) == {(row, 0) for row in range(8) if row != 2}
    assert list(figure.layout.yaxis.ticktext) == [0, 7]
    assert list(block([[True]], image=0, channel=0).layout.yaxis.ticktext) == [0]
