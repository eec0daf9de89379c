"""Runs: how one goes or went, and several compared."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dash import html

from fathom import figures
from fathom.errors import UserError
from fathom.explorer.controls import several
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import facts, graph, message, table
from fathom.report.material import Material, read_run
from fathom.report.verdict import judge

_MOST = 6


def page(folder: Path) -> Page:
    """The page of the runs in a folder."""
    names = run_names(folder)
    first = names[:1]

    def compared(runs: Sequence[str]) -> Any:
        return draw_compared([read_run(inside(folder, name)) for name in runs or ()])

    def one(runs: Sequence[str]) -> Any:
        if not runs:
            return message(f"Name a run. They are the folders of {folder.name}.")
        return draw_run(read_run(inside(folder, runs[-1])))

    return Page(
        path="runs",
        title="Runs",
        lead="Runs in progress, finished or broken off, side by side; the last one named in full.",
        controls=(several("runs", "Runs", names, first, most=_MOST),),
        cards=(
            Card("compared", "Side by side", compared, ("runs",)),
            Card("run", "In full", one, ("runs",)),
        ),
    )


def run_names(folder: Path) -> list[str]:
    """The runs in a folder, the newest first; none where there is no such folder."""
    try:
        found = [path for path in folder.iterdir() if (path / "recipe.json").is_file()]
    except OSError:
        return []
    return [path.name for path in sorted(found, key=lambda p: -p.stat().st_mtime)]


def inside(folder: Path, name: str) -> Path:
    """The run of this name. Raises UserError for what is not a run right inside the folder."""
    if name not in run_names(folder):
        raise UserError(f"no run is called {name!r} here; choose one of the list")
    return folder / name


def draw_compared(runs: Sequence[Material]) -> Any:
    """A row a run: network, state, accuracy, time."""
    if not runs:
        return message("Name one or more runs.")
    rows = []
    for run in runs:
        found = run.evaluation
        seconds = run.result.get("seconds")
        rows.append(
            (
                run.name,
                run.recipe.model.name,
                run.data_name,
                judge(run).word,
                "" if found is None else f"{100 * found.top1:.2f} %",
                "" if found is None else f"{found.loss:.4f}",
                "" if seconds is None else f"{seconds:,.0f} s",
            )
        )
    heads = ("run", "network", "data", "state", "top-1", "loss", "time")
    return table(heads, rows, label="Runs side by side")


def draw_run(run: Material) -> Any:
    """Verdict, curves and confusions of one run."""
    verdict = judge(run)
    parts: list[Any] = [
        html.H3([run.name, ": ", verdict.word]),
        facts((term, text) for term, text in verdict.remarks),
    ]
    if run.epochs:
        kept = run.kept_epoch if run.recipe.select == "best" else None
        number = None if kept is None else kept.epoch
        curves = (
            ("runs-top1", figures.top1_curves(run.epochs, number), "Top-1 by epoch"),
            ("runs-loss", figures.loss_curves(run.epochs, number), "Loss by epoch"),
        )
        plots = [graph(name, figure, describes=text) for name, figure, text in curves]
        parts.append(html.Div(plots, className="two"))
    if run.evaluation is not None:
        names = [score.name for score in run.evaluation.per_class]
        matrix = figures.confusion_matrix(run.evaluation.matrix, names)
        parts += [
            html.H4("What was taken for what"),
            graph("runs-confusion", matrix, describes="Confusion matrix"),
        ]
    return parts
