"""The figure of an occlusion."""

from __future__ import annotations

from fathom.figures.look import occlusion


def test_values_are_percent_and_other_answers_are_crossed() -> None:
    figure = occlusion(
        [[0.5, 0.25], [0.125, 1.0]],
        [["cat", "<b>"], ["dog", "cat"]],
        [4.0, 12.0],
        answer="cat",
        image_size=16,
    )
    ground, crosses = figure.data
    assert [list(row) for row in ground.z] == [[50.0, 25.0], [12.5, 100.0]]
    assert ground.customdata[0][1] == "&lt;b&gt;"
    assert list(zip(crosses.x, crosses.y, strict=True)) == [(12.0, 4.0), (4.0, 12.0)]
    assert tuple(figure.layout.yaxis.range) == (16, 0)
