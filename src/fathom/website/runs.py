"""One's own runs: an index, and the report of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from fathom.errors import UserError
from fathom.report.markup import Cell, counted, duration, el, join, percent, table
from fathom.report.material import Material, read_run
from fathom.report.page import Sheet, run_sheet
from fathom.report.verdict import judge, split_word
from fathom.website.folders import file_names, folders_with

_NONE = Cell("–", -math.inf)
_UNKNOWN = ("–", "–")


def pages(folder: Path) -> Iterator[tuple[str, Sheet]]:
    """runs/index.html, and the report of every run that can be read."""
    files = file_names(path.name for path in folders_with("recipe.json", folder))
    rows: list[Sequence[object]] = []
    for name, file in files.items():
        try:
            run = read_run(folder / name)
        except UserError as error:
            rows.append((el("bdi", name), *_UNKNOWN, str(error), *(_NONE,) * 4))
            continue
        rows.append((el("a", el("bdi", name), href=f"{file}.html"), *_row(run)))
        yield f"runs/{file}.html", run_sheet(run)
    yield "runs/index.html", index(rows)


def index(rows: Sequence[Sequence[object]]) -> Sheet:
    """A row a run."""
    header = el(
        "header",
        el("p", "Fathom · runs", class_="eyebrow"),
        el("h1", counted(len(rows), "run")),
    )
    heads = ("Run", "Network", "Data", "State", "Top-1", "Loss", "Time", "Steps")
    if rows:
        inside = table(heads, rows, label="All runs", sortable=True)
    else:
        inside = el("p", "There was no run in the folder that this site was written from.")
    note = el(
        "p",
        "Accuracies of different data, or of different splits, do not compare. The headings sort.",
        class_="quiet",
    )
    main = el("main", el("section", inside, note if rows else None, id="all"))
    return Sheet("Runs · Fathom", join([header, main]))


def _row(run: Material) -> Sequence[object]:
    """Network, data, state and figures."""
    found, seconds = run.evaluation, run.result.get("seconds")
    state = judge(run).word
    if found is not None:
        state += f", judged by {split_word(found.split)} images"
    return (
        run.recipe.model.name,
        el("bdi", run.data_name),
        state,
        _NONE if found is None else Cell(percent(found.top1, 2), found.top1),
        _NONE if found is None else Cell(f"{found.loss:.4f}", found.loss),
        _NONE if seconds is None else Cell(duration(seconds), seconds),
        _NONE if run.last is None else Cell(f"{run.last.step:,}", run.last.step),
    )
