"""The figures: what they show, and that they can be read on light, dark and gray."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import plotly.graph_objects as go
import pytest
import torch

from fathom import figures
from fathom.evaluate import Evaluation, measure
from fathom.training.reports import EpochReport, StepReport


def epoch(number: int, loss: float | None = 1.0, top1: float | None = 0.5) -> EpochReport:
    return EpochReport(
        epoch=number,
        step=10 * number + 10,
        train_loss=2.0 / (number + 1),
        train_top1=0.4 + 0.01 * number,
        split=None if loss is None else "val",
        loss=loss,
        top1=top1,
        chosen=True,
        lr=0.1,
        images_per_second=100.0,
        seconds=1.0,
    )


def step(number: int, loss: float = 1.0) -> StepReport:
    return StepReport(number, 0, loss, 0.5, 0.1 / number, 50.0 * number, 1.0, 1.0)


def evaluation(names: list[str], count: int = 60) -> Evaluation:
    rng = torch.Generator().manual_seed(1)
    targets = torch.arange(count) % len(names)
    logits = torch.randn(count, len(names), generator=rng)
    logits[torch.arange(count), targets] += 1
    return measure(logits, targets, torch.arange(count), split="val", class_names=names)


def every_figure() -> dict[str, go.Figure]:
    found = evaluation(["a", "b", "c"])
    epochs, steps = [epoch(0), epoch(1)], [step(1), step(10)]
    return {
        "loss": figures.loss_curves(epochs, kept_epoch=1),
        "top1": figures.top1_curves(epochs),
        "batches": figures.step_losses(steps),
        "lr": figures.learning_rate(steps),
        "throughput": figures.throughput(steps),
        "confusion": figures.confusion_matrix(found.matrix, ["a", "b", "c"]),
        "reliability": figures.reliability(found.bins),
    }


@pytest.mark.parametrize("name", every_figure())
def test_every_axis_has_a_title_and_no_figure_a_width(name: str) -> None:
    figure = every_figure()[name]
    axes = [*figure.select_xaxes(), *figure.select_yaxes()]
    assert all(axis.title.text for axis in axes)
    assert figure.layout.width is None
    assert figure.layout.template.layout.paper_bgcolor == "rgba(0,0,0,0)"


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb. Source: WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", [figures.BLUE, figures.ORANGE, figures.GREY])
def test_colours_stand_out_on_white_and_on_near_black(colour: str) -> None:
    light, dark, ours = 1.0, luminance("#14171b"), luminance(colour)
    assert (light + 0.05) / (ours + 0.05) >= 3
    assert (ours + 0.05) / (dark + 0.05) >= 3


def test_lines_differ_in_more_than_colour() -> None:
    first, second = figures.loss_curves([epoch(0), epoch(1)]).data
    assert first.line.dash != second.line.dash
    assert first.marker.symbol != second.marker.symbol


def test_curves_show_every_measured_epoch_counted_from_one() -> None:
    unmeasured = epoch(1, loss=None, top1=None)
    training, validation = figures.top1_curves([epoch(0), unmeasured, epoch(2, top1=0.9)]).data
    assert (list(training.x), list(validation.x)) == ([1, 2, 3], [1, 3])
    assert list(validation.y) == [0.5, 0.9]
    assert (training.name, validation.name) == ("training", "validation")


def test_points_that_are_no_numbers_are_left_out() -> None:
    _, validation = figures.loss_curves([epoch(0, loss=math.nan), epoch(1, loss=math.inf)]).data
    assert list(validation.y) == []
    assert list(figures.step_losses([step(1, math.nan), step(2)]).data[0].x) == [2]


@pytest.mark.parametrize(("worst", "scale"), [(3.0, "linear"), (1e4, "log")])
def test_the_loss_axis_is_logarithmic_only_for_wide_ranges(worst: float, scale: str) -> None:
    assert figures.loss_curves([epoch(0, loss=worst), epoch(1)]).layout.yaxis.type == scale


def test_the_kept_epoch_is_marked() -> None:
    (mark,) = figures.top1_curves([epoch(0), epoch(1)], kept_epoch=1).layout.shapes
    assert (mark.x0, mark.name) == (2, "kept: epoch 2")
    assert not figures.top1_curves([epoch(0)]).layout.shapes


def test_the_matrix_is_coloured_by_the_share_of_its_row() -> None:
    matrix = [[8, 2], [0, 0]]
    heat, counts = figures.confusion_matrix(matrix, ["cat", "dog"]).data
    assert [list(row) for row in heat.z] == [[0.8, 0.2], [0.0, 0.0]]
    assert list(zip(counts.x, counts.y, counts.text, strict=True)) == [(0, 0, "8"), (1, 0, "2")]
    assert list(counts.textfont.color) == ["#ffffff", figures.GREY], "pale cells show the page"


def test_counts_are_written_up_to_twenty_classes() -> None:
    for count, written in ((20, True), (21, False)):
        names = [f"class {i}" for i in range(count)]
        figure = figures.confusion_matrix(evaluation(names).matrix, names)
        assert (len(figure.data) == 2) == written


def test_a_part_of_the_matrix_keeps_shares_of_whole_rows() -> None:
    figure = figures.confusion_matrix([[6, 2, 2], [1, 1, 0], [0, 0, 4]], "abc", shown=[0, 2])
    assert [list(row) for row in figure.data[0].z] == [[0.6, 0.2], [0.0, 1.0]]
    assert list(figure.layout.xaxis.ticktext) == ["a", "c"]


def test_most_mistaken_ranks_by_mistakes_of_rows_and_columns() -> None:
    matrix = evaluation([str(i) for i in range(9)], count=200).matrix
    chosen = figures.most_mistaken(matrix, 4)
    mistakes = [sum(matrix[i][j] + matrix[j][i] for j in range(9) if j != i) for i in range(9)]
    assert all(a < b for a, b in pairwise(chosen))
    assert min(mistakes[i] for i in chosen) >= max(mistakes[i] for i in range(9) if i not in chosen)


def test_names_reach_plotly_escaped() -> None:
    names = ["<b>bold</b> & <a href='x'>", "$x$ and $y$"]
    text = json.dumps(figures.confusion_matrix([[1, 1], [1, 1]], names).to_plotly_json())
    assert "<b>" not in text
    assert "<a" not in text
    assert "$" not in text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; " in text


def test_long_names_are_shortened_on_the_axis_and_whole_on_hover() -> None:
    name = "a" * 30 + "z" * 30
    figure = figures.confusion_matrix([[1, 0], [0, 1]], [name, "b"])
    assert len(figure.layout.xaxis.ticktext[0]) == figures.LONGEST_LABEL
    assert figure.data[0].customdata[0][0][2] == name


def test_reliability_shows_full_bins_with_their_counts() -> None:
    bins = evaluation(["a", "b", "c"]).bins
    full = [b for b in bins if b.count]
    _, points, counts = figures.reliability(bins).data
    assert list(points.x) == [b.confidence for b in full]
    assert list(points.y) == [b.accuracy for b in full]
    assert list(counts.y) == [b.count for b in full]
    tops = [y + up for y, up in zip(points.y, points.error_y.array, strict=True)]
    assert all(0 <= top <= 1 for top in tops)
