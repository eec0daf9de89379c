"""The recorded experiments and one's own: an index, and a page for each that has results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.errors import UserError
from fathom.experiments.plan import PLAN
from fathom.experiments.registry import EXPERIMENTS
from fathom.experiments.session import RESULTS, read_results
from fathom.ledger.recorded import recorded
from fathom.report.experiment_page import experiment_sheet
from fathom.report.markup import Html, el, join, table
from fathom.report.page import Sheet
from fathom.website.folders import file_names, folders_with

Results = Mapping[str, Any]


def pages(folder: Path) -> Iterator[tuple[str, Sheet]]:
    """experiments/index.html, then those that are recorded, then those in the folder of runs."""
    known = {name: results for name in EXPERIMENTS if (results := recorded(name)) is not None}
    own = [path.name for path in folders_with(PLAN, folder)]
    files = file_names(own, taken=known)
    found: dict[str, Results] = {f"{name}.html": results for name, results in known.items()}
    rows = []
    for name in own:
        file, state = f"{files[name]}.html", "no results yet"
        if (folder / name / RESULTS).is_file():
            try:
                found[file] = read_results(folder / name / RESULTS)[1]
            except UserError as error:
                state = str(error)
        rows.append(_row(name, file, state, found.get(file)))
    yield "experiments/index.html", index(known, rows)
    for file, one in found.items():
        yield f"experiments/{file}", experiment_sheet(one)


def index(known: Mapping[str, Results], own: Sequence[Sequence[object]]) -> Sheet:
    """Every experiment there is, and the rows of one's own."""
    header = el(
        "header",
        el("p", "Fathom · experiments", class_="eyebrow"),
        el("h1", "Experiments"),
        el("p", "The effects that made depth work, shown on real networks: with seeds, intervals, "
           "and what was expected before anybody looked.", class_="lead"),
    )  # fmt: skip
    rows = [
        (*_row(name, f"{name}.html", "not recorded", known.get(name)), about.shows, about.source)
        for name, about in EXPERIMENTS.items()
    ]
    heads = ("Experiment", "State", "What it shows", "Source")
    parts = [
        el("h2", f"{len(known)} of {len(rows)} are recorded"),
        table(heads, rows, label="All experiments"),
    ]
    sections = [el("section", *parts, id="recorded")]
    if own:
        mine = table(("Folder", "State"), own, label="Experiments in the folder of runs")
        sections.append(el("section", el("h2", "In the folder of runs"), mine, id="own"))
    return Sheet("Experiments · Fathom", join([header, el("main", *sections)]))


def _row(name: str, file: str, state: str, results: Results | None) -> tuple[Html, str]:
    """Name and state of an experiment, with a link to its results."""
    named = el("bdi", name)
    if results is None:
        return named, state
    return el("a", named, href=file), _when(results)


def _when(results: Results) -> str:
    setting = results["setting"]
    quick = ", a quick run" if setting["quick"] else ""
    return f"{setting['date']} on {setting['data']}{quick}"
