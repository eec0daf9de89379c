"""Experiments on the page: what they are, what came of them, and one's own go at them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fathom.errors import UserError
from fathom.experiments import EXPERIMENTS, about, make_plan, make_setting
from fathom.explorer.jobs import SCALES, Jobs, Progress
from fathom.explorer.pages import experiments
from fathom.explorer.pages.experiments import (
    draw_about,
    draw_findings,
    draw_own,
    draw_watch,
    own_folders,
    page,
)
from fathom.figures.charts import Axis, LineChart, Series, chart_to_dict
from tests.explorer.making import make_run, step
from tests.explorer.reading import components, figure_of, text_of


def recorded(name: str) -> dict[str, Any]:
    chart = LineChart(
        "Loss", Axis("Step"), Axis("Loss (nats)"), [Series("a", [1, 2], [3.5, 2.5])], "Why."
    )
    return {
        "title": "Does it?",
        "expected": "It does.",
        "setting": {
            "date": "2026-01-02",
            "data": "digits",
            "seeds": [0, 1, 2],
            "command": "fathom x",
            "quick": False,
        },
        "findings": {
            "sentences": ["It falls from 3.5 to 2.5."],
            "charts": [chart_to_dict(chart)],
            "verdicts": {
                "a.claim": {"verdict": "demonstrated", "computed": {}, "explanation": "."}
            },
        },
    }


def test_a_recorded_run_is_shown_with_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "recorded", recorded)
    found = draw_findings("degradation")
    said = text_of(found)
    for words in (
        "Does it?",
        "It does.",
        "2026-01-02",
        "It falls from 3.5",
        "a.claim: demonstrated",
    ):
        assert words in said
    lines = figure_of(found, "experiments-chart-0").data
    assert any(list(line.y) == [3.5, 2.5] for line in lines)


def test_without_a_record_it_says_how_to_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments, "recorded", lambda name: None)
    assert "fathom experiment norms" in text_of(draw_findings("norms"))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_says_what_it_is(name: str) -> None:
    said = text_of(draw_about(name))
    assert about(name) in said
    assert EXPERIMENTS[name].source in said
    assert page(Path("runs"), Jobs(Path("runs"))).read(f"?experiment={name}")["experiment"] == name


def begun(runs: Path, name: str, experiment: str = "degradation", *, age: float = 0.0) -> Path:
    """An experiment that has been planned."""
    folder = runs / name
    folder.mkdir(parents=True)
    make_plan(experiment, make_setting("digits", quick=True)).write(folder)
    then = (folder / "experiment.json").stat().st_mtime - age
    os.utime(folder / "experiment.json", (then, then))
    return folder


def finish(folder: Path, *, quick: bool = False) -> None:
    found = recorded("degradation")
    found["setting"]["quick"] = quick
    (folder / "results.json").write_text(json.dumps(found))
    (folder / "report.html").write_text("report")


def test_ones_own_runs_are_found_by_their_plan(tmp_path: Path) -> None:
    begun(tmp_path, "mine", age=5.0)
    begun(tmp_path, "norms-small", "norms")
    begun(tmp_path, "degradation-small")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "experiment.json").write_text("{")
    (tmp_path / "list").mkdir()
    (tmp_path / "list" / "experiment.json").write_text("[]")
    found = [path.name for path in own_folders(tmp_path, "degradation")]
    assert found == ["degradation-small", "mine"]
    assert own_folders(tmp_path / "nowhere", "degradation") == []
    assert "no run of degradation lies in" in text_of(draw_own(tmp_path / "x", "degradation"))


def test_ones_own_results_are_shown_like_the_recorded_ones(tmp_path: Path) -> None:
    done, going = begun(tmp_path, "<b>done", age=5.0), begun(tmp_path, "going")
    finish(done)
    (going / "cells").mkdir()
    (going / "cells" / "a-0.json").write_text("{}")
    found = draw_own(tmp_path, "degradation")
    said = text_of(found)
    assert "It falls from 3.5 to 2.5." in said
    assert "A quick run" not in said
    assert "<b>done: 2026-01-02, 3\N{NO-BREAK SPACE}seeds" in said
    assert "going: 1 of 8\N{NO-BREAK SPACE}cells measured" in said, "four networks, two seeds"
    lines = figure_of(found, "experiments-own-0").data
    assert any(list(line.y) == [3.5, 2.5] for line in lines)
    assert [c.href for c in components(found) if hasattr(c, "href")] == ["/report/%3Cb%3Edone"]
    finish(done, quick=True)
    os.utime(done / "results.json", (1, 1))
    assert "A quick run, too short" in text_of(draw_own(tmp_path, "degradation"))


def test_a_job_is_watched(tmp_path: Path) -> None:
    assert "Nothing is running" in text_of(draw_watch(tmp_path, "norms", None))
    folder = tmp_path / "degradation-small"
    early = draw_watch(tmp_path, "norms", Progress("degradation", folder, 1.5, None, ()))
    assert "degradation-small: running for 1.5" in text_of(early)
    assert "It has said nothing yet." in text_of(early)
    begun(tmp_path, folder.name)
    make_run(folder / "cells" / "plain-0", [step(1, 1.0, loss=2.5), step(10, 2.0, loss=1.5)])
    for number in range(3):
        (folder / "cells" / f"a-{number}.json").write_text("{}")
    found = draw_watch(tmp_path, "norms", Progress("degradation", folder, 75.0, None, ("<b>", "l")))
    assert "running for 1\N{NO-BREAK SPACE}min 15" in text_of(found)
    assert "3 of 8\N{NO-BREAK SPACE}cells measured" in text_of(found)
    assert "<b>\nl" in text_of(found)
    bar: Any = next(c for c in components(found) if type(c).__name__ == "Progress")
    assert (bar.value, bar.max) == ("3", "8")
    assert list(figure_of(found, "experiments-watched").data[0].y) == [2.5, 1.5]


@pytest.mark.parametrize(
    ("code", "words"), [(0, "done after"), (130, "stopped after"), (2, "broke off with status 2")]
)
def test_a_job_that_is_over_says_how(tmp_path: Path, code: int, words: str) -> None:
    found = draw_watch(tmp_path, "norms", Progress("norms", tmp_path / "x", 5.0, code, ("why",)))
    assert words in text_of(found)
    assert "why" in text_of(found)


def test_the_buttons_are_those_of_the_jobs(tmp_path: Path) -> None:
    made = page(tmp_path, Jobs(tmp_path))
    actions = {action.name: action for action in made.actions}
    assert actions["stop"].run() == "Nothing is running."
    with pytest.raises(UserError, match="unknown experiment"):
        actions["run"].run(experiment="x; ls", scale="quick")
    assert made.read("?scale=minutes")["scale"] == "minutes"
    assert {made.read(f"?scale={scale}")["scale"] for scale in SCALES} == set(SCALES)


def test_every_experiment_draws_every_card(tmp_path: Path) -> None:
    made = page(tmp_path, Jobs(tmp_path))
    for name in EXPERIMENTS:
        said = text_of([card.draw(experiment=name) for card in made.cards])
        assert "could not be drawn" not in said
