"""The step that is chosen stands out, in more than colour."""

from __future__ import annotations

from fathom.figures.road import steps


def test_the_chosen_step_stands_out_in_both_rows() -> None:
    figure = steps(["a", "<b>", "c"], [70.0, 71.5, 71.0], [4.0, 4.5, 2.0], chosen=1)
    accuracy, costs = figure.data
    assert (list(accuracy.y), list(costs.y)) == ([70.0, 71.5, 71.0], [4.0, 4.5, 2.0])
    assert accuracy.text[1] == costs.text[1] == "&lt;b&gt;"
    assert accuracy.marker.color[0] == accuracy.marker.color[2] != accuracy.marker.color[1]
    assert list(accuracy.marker.symbol) == ["circle", "diamond", "circle"]
    assert list(costs.marker.pattern.shape) == ["", "/", ""]
    assert list(accuracy.customdata) == list(costs.customdata) == [0, 1, 2]
