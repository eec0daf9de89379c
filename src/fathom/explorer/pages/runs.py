"""Runs: how one goes or went, and several compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dash import html

from fathom.explorer.controls import Control, Value, choice, several
from fathom.explorer.courses import ACROSS, MEASURES, draw_courses
from fathom.explorer.folders import inside, is_going, read, run_names, stamp, state
from fathom.explorer.live import following
from fathom.explorer.one_run import draw_run
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import message, table
from fathom.recipes.compare import as_text, settings_of
from fathom.report.markup import duration, percent, span
from fathom.report.material import Material

_MOST = 6
_NEWEST = 2  # runs that are compared where none is named


def page(folder: Path) -> Page:
    """The page of the runs in a folder."""

    def chosen(runs: Sequence[str]) -> list[Material]:
        names = runs or run_names(folder)[:_NEWEST]
        return [read(inside(folder, name)) for name in names]

    def courses(runs: Sequence[str], measure: str, across: str) -> Any:
        return draw_compared(chosen(runs), measure, across) if _any(runs) else _none(folder)

    def differences(runs: Sequence[str]) -> Any:
        return draw_differences(chosen(runs))

    def one(runs: Sequence[str]) -> Any:
        found = chosen(runs)
        return draw_run(found[-1] if runs else found[0]) if found else _none(folder)

    def _any(runs: Sequence[str]) -> bool:
        return bool(runs or run_names(folder))

    def seen(runs: Sequence[str]) -> str:
        """What changes when anything that is shown does: runs there are, their files, whether
        they go on."""
        there = run_names(folder)
        found = [name for name in runs or there[:_NEWEST] if name in there]
        marks = [f"{stamp(folder / n)} {is_going(read(folder / n))}" for n in found]
        return "\n".join([*there, *marks])

    made = Page(
        path="runs",
        title="Runs",
        lead="Runs in progress, finished or broken off, side by side, and the last one named in "
        "full. What goes on is drawn as it goes.",
        controls=(
            _runs(folder),
            choice("measure", "Up", {k: m.label for k, m in MEASURES.items()}, "top1"),
            choice("across", "Across", ACROSS, "epoch"),
        ),
        cards=(
            Card("compared", "Side by side", courses, ("runs", "measure", "across")),
            Card("differences", "What they differ in", differences, ("runs",)),
            Card("run", "In full", one, ("runs",)),
        ),
    )
    names = [card.name for card in made.cards]
    return following(made, names, seen, options=lambda: run_names(folder))


def _runs(folder: Path) -> Control:
    """Runs of those that are there at the time; none named stands for the newest."""

    def now() -> Control:
        return several("runs", "Runs (by default the newest)", run_names(folder), [], most=_MOST)

    def make(identifier: str, value: Value) -> Any:
        return now().make(identifier, value)

    return Control("runs", [], make, lambda text: now().read(text), ",".join)


def _none(folder: Path) -> Any:
    return message(
        f"There is no run in {folder} yet. `fathom train` makes one, and it shows here by itself."
    )


def draw_compared(runs: Sequence[Material], measure: str, across: str) -> Any:
    """The courses of several runs in one chart, and a row a run: state, accuracy, time."""
    plot, told = draw_courses("runs-courses", runs, measure, across)
    heads = ("run", "network", "data", "state", "top-1", "95 % interval", "loss", "time")
    return [
        plot,
        table(heads, map(_row, runs), label="Runs side by side"),
        *[html.P(sentence, className="quiet") for sentence in told],
    ]


def _row(run: Material) -> tuple[str, ...]:
    found, last = run.evaluation, run.last
    seconds = run.result.get("seconds", last.seconds if last else None)
    return (
        run.name,
        run.recipe.model.name,
        run.data_name,
        state(run),
        "" if found is None else percent(found.top1, 2),
        "" if found is None else span(found.top1_low, found.top1_high),
        "" if found is None else f"{found.loss:.4f}",
        "" if seconds is None else duration(seconds),
    )


def draw_differences(runs: Sequence[Material]) -> Any:
    """The settings in which the recipes of several runs are not all the same."""
    if len(runs) < 2:
        return html.P("Name two runs or more, and what their recipes differ in stands here.")
    texts = [{p: as_text(v) for p, v in settings_of(run.recipe).items()} for run in runs]
    paths = dict.fromkeys(path for settings in texts for path in settings)
    rows = [
        (path, *(settings.get(path, "") for settings in texts))
        for path in paths
        if len({settings.get(path) for settings in texts}) > 1
    ]
    same = f"{len(paths) - len(rows)} of {len(paths)} settings are the same."
    if not rows:
        return html.P(f"Nothing: all {len(paths)} settings of their recipes are the same.")
    heads = ("setting", *(run.name for run in runs))
    return [table(heads, rows, label="What the recipes differ in"), html.P(same, className="quiet")]
