"""What a chart of several runs shows is what their logs say."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fathom.errors import UserError
from fathom.explorer.courses import ACROSS, MEASURES, course, draw_courses
from fathom.report.material import Material, read_run
from tests.explorer.making import epoch, make_run, step
from tests.explorer.reading import components, figure_of, text_of

LOG = [
    step(1, 1.0, loss=2.5, lr=0.01, images_per_second=50.0),
    epoch(0, 8, 4.0, top1=0.25, loss=2.0, train_top1=0.125, train_loss=2.25),
    step(10, 5.0, loss=1.5, lr=0.02, images_per_second=70.0),
    epoch(1, 16, 8.0, top1=None, loss=None, train_top1=0.5, train_loss=1.25),
    epoch(2, 20, 9.0, top1=0.75, loss=1.0, train_top1=0.625, train_loss=0.75),
]


@pytest.fixture
def run(tmp_path: Path) -> Material:
    return read_run(make_run(tmp_path / "<b>a", LOG))


@pytest.mark.parametrize(
    ("measure", "across", "points"),
    [
        ("top1", "epoch", [(1, 25.0), (3, 75.0)]),
        ("top1", "step", [(8, 25.0), (20, 75.0)]),
        ("loss", "seconds", [(4.0, 2.0), (9.0, 1.0)]),
        ("train_top1", "epoch", [(1, 12.5), (2, 50.0), (3, 62.5)]),
        ("train_loss", "step", [(8, 2.25), (16, 1.25), (20, 0.75)]),
        ("batch_loss", "step", [(1, 2.5), (10, 1.5)]),
        ("lr", "seconds", [(1.0, 0.01), (5.0, 0.02)]),
        ("speed", "step", [(1, 50.0), (10, 70.0)]),
    ],
)
def test_points_are_the_records(
    run: Material, measure: str, across: str, points: list[tuple[float, float]]
) -> None:
    assert course(run, measure, across) == points
    plot, _ = draw_courses("x", [run], measure, across)
    (trace,) = figure_of(plot, "x").data
    assert list(zip(trace.x, trace.y, strict=True)) == points
    assert trace.name == "&lt;b&gt;a"


def test_every_choice_draws_or_says_why_not(run: Material) -> None:
    for measure, asked in MEASURES.items():
        for across in ACROSS:
            if asked.by_step and across == "epoch":
                with pytest.raises(UserError, match="choose steps or time"):
                    draw_courses("x", [run], measure, across)
            else:
                assert draw_courses("x", [run], measure, across)[1]


def test_the_words_have_the_first_and_the_last(run: Material) -> None:
    plot, told = draw_courses("x", [run], "top1", "epoch")
    assert told == ["<b>a: from 25.00 % to 75.00 %, at epoch 3."]
    box = next(c for c in components(plot) if getattr(c, "role", "") == "figure")
    assert told[0] in getattr(box, "aria-label")
    assert draw_courses("x", [run], "batch_loss", "step")[1] == [
        "<b>a: from 2.5000 to 1.5000, at step 10."
    ]


def test_runs_without_records_are_left_out(tmp_path: Path, run: Material) -> None:
    bare = read_run(make_run(tmp_path / "bare", []))
    plot, told = draw_courses("x", [bare, run], "loss", "step")
    assert len(figure_of(plot, "x").data) == len(told) == 1
    plot, told = draw_courses("x", [bare], "loss", "step")
    assert "in the logs yet" in text_of(plot)
    assert told == []


def test_losses_far_apart_have_a_logarithmic_axis(tmp_path: Path) -> None:
    for last, scale in ((0.02, "log"), (0.03, "linear")):
        log = [step(1, 1.0, loss=2.5), step(10, 2.0, loss=last), step(20, 3.0, loss=math.inf)]
        found = read_run(make_run(tmp_path / scale, log))
        plot, _ = draw_courses("x", [found], "batch_loss", "step")
        figure = figure_of(plot, "x")
        assert figure.layout.yaxis.type == scale
        assert list(figure.data[0].y) == [2.5, last]


def test_what_is_asked_keeps_a_readers_zoom(run: Material) -> None:
    marks = {
        figure_of(draw_courses("x", [run], m, a)[0], "x").layout.uirevision
        for m, a in (("loss", "epoch"), ("loss", "step"), ("top1", "step"), ("loss", "step"))
    }
    assert len(marks) == 3
