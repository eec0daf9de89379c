"""The page of an experiment: what was expected, what came of it, and all its values.

It is made from results.json and from nothing else; that of a recorded run makes the same page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fathom.figures import draw
from fathom.figures.charts import Chart, MapChart, chart_from_dict
from fathom.ledger import all_claims
from fathom.ledger.claim import in_words
from fathom.report.markup import Cell, Html, bullets, counted, el, facts, join, plot, table
from fathom.report.material import SPLITS, read_values
from fathom.report.page import Sheet, document
from fathom.spread import spread
from fathom.training.run import write_bytes

_NONE = Cell("–", -math.inf)


def write_experiment(folder: str | Path) -> Path:
    """Write FOLDER/report.html from the experiment's results, and return its path.

    Raises:
        UserError: there are no results yet, or they are damaged.
        OSError: the disk is full.
    """
    folder = Path(folder)
    path = folder / "report.html"
    page = document(experiment_sheet(read_values(folder / "results.json")))
    write_bytes(path, page.encode("utf-8", "replace"))
    return path


def experiment_sheet(results: Mapping[str, Any]) -> Sheet:
    """The page, from the values of results.json."""
    name, title, setting = results["name"], results["title"], results["setting"]
    header = el(
        "header",
        el("p", f"Fathom · experiment {name}", class_="eyebrow"),
        el("h1", title),
        el("p", "On ", el("bdi", setting["data"]), ", ", _length(setting), class_="lead"),
    )
    sections = [
        _findings(results),
        _charts(results),
        _verdicts(results),
        _values(results["cells"]),
        _setting(setting),
    ]
    return Sheet(f"{title} · Fathom", join([header, el("main", *sections)]))


def _length(setting: Mapping[str, Any]) -> str:
    seeds = counted(len(setting["seeds"]), "seed")
    if setting["steps"] is None:
        return f"{seeds} each."
    return f"{counted(setting['steps'], 'step')} of training, {seeds} each."


def _findings(results: Mapping[str, Any]) -> Html:
    """What came of it, below what was expected of it."""
    quick = results["setting"]["quick"]
    return el(
        "section",
        el("h2", "A quick run" if quick else "What was found", class_="status"),
        el("p", "It goes through every step of the experiment; too short for any effect to show.")
        if quick
        else None,
        bullets(results["findings"]["sentences"]),
        facts([("Expected", results["expected"])]),
        el("p", "What is expected was written down before the first run.", class_="quiet"),
        class_=f"verdict {'unfinished' if quick else 'finished'}",
        id="findings",
    )


def _charts(results: Mapping[str, Any]) -> Html:
    charts = map(chart_from_dict, results["findings"]["charts"])
    parts = (part for chart in charts for part in (el("h3", chart.title), chart_plot(chart)))
    return el("section", el("h2", "Figures"), *parts, id="figures")


def chart_plot(chart: Chart) -> Html:
    """A chart with its caption; maps are no wider than they are readable."""
    shape = "narrow" if isinstance(chart, MapChart) else None
    return plot(draw(chart), alt=chart.title, caption=chart.caption, shape=shape)


def _verdicts(results: Mapping[str, Any]) -> Html | None:
    """The rows of the ledger that this experiment judges; the stated text is the ledger's."""
    verdicts = results["findings"]["verdicts"]
    if not verdicts:
        return None
    claims = all_claims()
    parts = []
    for name, found in verdicts.items():
        about = facts(
            (
                ("Verdict", el("strong", found["verdict"])),
                ("Why", found["explanation"]),
                ("Values", in_words(found["computed"])),
            )
        )
        text = el("p", claims[name].text) if name in claims else None
        parts += [el("h3", name), text, about]
    lead = (
        "What is said about deep networks, and what these runs say of it. A verdict needs at least "
        "three seeds, and 95 % intervals that do not overlap."
    )
    return el("section", el("h2", "Claims"), el("p", lead), *parts, id="claims")


def _values(cells: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Html | None:
    """Every value that is a number: its mean over the seeds of an arm, with a 95 % interval."""
    keys = dict.fromkeys(
        key
        for seeds in cells.values()
        for values in seeds.values()
        for key, value in values.items()
        if _is_number(value)
    )
    if not keys:
        return None
    rows = [
        (
            arm,
            *(_mean([values.get(key) for values in seeds.values()]) for key in keys),
            Cell(len(seeds), len(seeds)),
        )
        for arm, seeds in cells.items()
    ]
    heads = ("Arm", *(key.replace("_", " ").capitalize() for key in keys), "Seeds")
    return el(
        "section",
        el("h2", "Values"),
        table(heads, rows, label="Values of every arm", sortable=True),
        el(
            "p",
            "Mean over the seeds, and its 95 % interval by Student's t. All values, seed by seed, "
            "are in results.json.",
            class_="quiet",
        ),
        id="values",
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _mean(values: Sequence[Any]) -> Cell:
    """Over the seeds that have a finite one; how many those are, where not all have."""
    finite = [float(value) for value in values if _is_number(value) and math.isfinite(value)]
    if not finite:
        return _NONE
    found = spread(finite)
    text = f"{found.mean:.4g}"
    if found.low is not None and found.high is not None:
        text += f" ({found.low:.4g} to {found.high:.4g})"
    if len(finite) < len(values):
        text += f", {len(finite)} of {len(values)} seeds"
    return Cell(text, found.mean)


def _setting(setting: Mapping[str, Any]) -> Html:
    machine = setting["environment"]
    packages = {"fathom": machine["fathom"], "python": machine["python"], **machine["packages"]}
    size = setting["image_size"]
    images = setting["images"] and (
        f"{counted(setting['images'], 'training image')}; "
        + counted(setting["judging_images"], f"{SPLITS[setting['judge']]} image")
    )
    trained = setting["steps"] and (
        f"{counted(setting['steps'], 'step')} of {counted(setting['batch_size'], 'image')}, "
        f"{setting['epochs']:.3g} epochs"
    )
    pairs = (
        ("Data", el("bdi", setting["data"])),
        ("Images", images),
        ("Size", size and f"{size} × {size} pixels"),
        ("Weights", setting["weights"]),
        ("Training", trained),
        ("Minutes allowed", setting["minutes"] and f"{setting['minutes']:g}"),
        ("Seeds", ", ".join(map(str, setting["seeds"]))),
        ("Machine", machine["machine"]),
        ("Processor", f"{machine['processor']}, {counted(machine['threads'], 'thread')}"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in packages.items())),
        ("Date", setting["date"]),
        ("Command", setting["command"] and el("code", setting["command"])),
    )
    return el("section", el("h2", "Setting"), facts(pairs), id="setting")
