"""The report of an ablation: one HTML file in its folder, with links to the reports of its runs.

It is made from what `fathom.ablation` has written into that folder, which may still be growing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fathom.figures import gains
from fathom.report.markup import (
    Cell,
    Html,
    bullets,
    counted,
    details,
    el,
    facts,
    join,
    percent,
    plot,
    table,
)
from fathom.report.material import read_values
from fathom.report.page import Sheet, document
from fathom.report.verdict import split_word
from fathom.training.run import write_bytes

_NONE = Cell("–", -math.inf)


def write_ablation(folder: str | Path) -> Path:
    """Write FOLDER/report.html from the ablation's plan and results, and return its path.

    Raises:
        UserError: there are no results yet, or a file is damaged.
        OSError: the disk is full.
    """
    folder = Path(folder)
    plan, results = (read_values(folder / name) for name in ("ablation.json", "results.json"))
    path = folder / "report.html"
    write_bytes(path, ablation_page(plan, results, folder.name).encode("utf-8", "replace"))
    return path


def ablation_page(plan: Mapping[str, Any], results: Mapping[str, Any], name: str) -> str:
    """The page as text, from the values of the two JSON files and the folder's name."""
    recipe = plan["arms"][0]["recipe"]
    data = Path(str(recipe["data"]["source"] or recipe["data"]["train"])).name
    header = el(
        "header",
        el("p", "Fathom · ablation ", el("bdi", name), class_="eyebrow"),
        el("h1", "What each trick brings: ", recipe["model"]["name"], " on ", el("bdi", data)),
    )
    sections = [
        _verdict(plan, results),
        _arms(results),
        _sentences(results),
        _runs(results),
        _method(plan, results),
        _machine(plan),
    ]
    body = join([header, el("main", *sections)])
    return document(Sheet(f"What each trick brings · {name} · Fathom", body))


def _verdict(plan: Mapping[str, Any], results: Mapping[str, Any]) -> Html:
    """How far it is, and the arms by what they show."""
    ended, planned = results["runs_ended"], results["runs_planned"]
    base = results["arms"][0]
    lead = f"{results['budget']} for every arm, {counted(len(results['seeds']), 'seed')} each."
    if base["top1"] is not None:
        lead += f" The base reaches {percent(base['top1'], 2)} {_judges(results)}."
    groups: dict[str, list[str]] = {}
    for arm in results["arms"][1:]:
        groups.setdefault(arm["verdict"], []).append(arm["name"].removeprefix(f"{arm['kind']}-"))
    words = ((verdict.capitalize(), ", ".join(names)) for verdict, names in groups.items())
    return el(
        "section",
        el("h2", "All runs have ended" if ended == planned else "Unfinished", class_="status"),
        el("p", lead, class_="lead"),
        facts(words),
        None if ended == planned else el("p", f"{ended} of {planned} runs have ended so far."),
        bullets(plan["notes"]),
        class_=f"verdict {'finished' if ended == planned else 'unfinished'}",
        id="verdict",
    )


def _judges(results: Mapping[str, Any]) -> str:
    noun = f"{split_word(results['split'])} image"
    return f"of {counted(results['num_images'], noun)}"


def _arms(results: Mapping[str, Any]) -> Html:
    """The figure and the table."""
    compared = [arm for arm in results["arms"] if arm["difference"] is not None]
    figure = None
    if compared:
        differences = [arm["difference"] for arm in compared]
        pairs = [None if d["low"] is None else (d["low"], d["high"]) for d in differences]
        figure = plot(
            gains([arm["name"] for arm in compared], [d["mean"] for d in differences], pairs),
            alt="Difference of each arm's top-1 to the base's",
            caption="Mean difference over seeds, each arm's run against the base's of the same "
            "seed, with 95 % intervals. Left of zero an arm is worse than the base.",
        )
    heads = (
        "Arm",
        "Top-1",
        "Std. dev.",
        "Range",
        "To the base, 95 % interval",
        "Images/s",
        "Steps",
        "Epochs",
    )
    rows = map(_row, results["arms"])
    return el(
        "section",
        el("h2", "Arms"),
        figure,
        el("h3", "Means over seeds, in percent and points"),
        table(heads, rows, label="Arms", sortable=True),
        id="arms",
    )


def _row(arm: Mapping[str, Any]) -> Sequence[object]:
    top1, sd, difference = arm["top1"], arm["sd"], arm["difference"]
    return (
        arm["name"],
        _cell(top1, lambda v: percent(v, 2)),
        _cell(sd, lambda v: f"{100 * v:.2f}"),
        _cell(arm["lowest"], lambda low: f"{100 * low:.2f} to {100 * arm['highest']:.2f}"),
        _NONE if difference is None else Cell(_difference(difference), difference["mean"]),
        _cell(arm["images_per_second"], lambda v: f"{v:,.0f}"),
        _cell(arm["steps"], lambda v: f"{v:,}"),
        _cell(arm["epochs"], lambda v: f"{v:.4g}"),
    )


def _difference(difference: Mapping[str, Any]) -> str:
    text = f"{100 * difference['mean']:+.2f}"
    if difference["low"] is None:
        return text
    return f"{text} ({100 * difference['low']:+.2f} to {100 * difference['high']:+.2f})"


def _cell(value: float | None, words: Callable[[float], str]) -> Cell:
    return _NONE if value is None else Cell(words(value), value)


def _sentences(results: Mapping[str, Any]) -> Html:
    parts = [
        (arm["name"], join([el("p", arm["sentence"]), el("p", arm["what"], class_="quiet")]))
        for arm in results["arms"]
    ]
    return el("section", el("h2", "In words"), facts(parts), id="words")


def _runs(results: Mapping[str, Any]) -> Html:
    """Every run's top-1, linked to its report."""
    seeds = results["seeds"]
    rows = [(arm["name"], *map(_run, arm["runs"])) for arm in results["arms"]]
    shown = table(("Arm", *(f"Seed {s}" for s in seeds)), rows, label="Top-1 of every run")
    return el("section", el("h2", "Runs"), shown, id="runs")


def _run(run: Mapping[str, Any]) -> object:
    if run["status"] == "unfinished":
        return Cell("–", -math.inf)
    diverged = run["status"] == "diverged"
    text = f"diverged at step {run['steps']}" if diverged else percent(run["top1"], 2)
    link = el("a", text, href=f"{quote(run['folder'])}/report.html", title=run["reason"])
    return Cell(link, -1.0 if diverged else run["top1"])


def _method(plan: Mapping[str, Any], results: Mapping[str, Any]) -> Html:
    """How the numbers came about, and what they cannot say."""
    seeds, arms = results["seeds"], len(results["arms"]) - 1
    text = [
        "Every arm is the base with one change, and has the same seeds: initial weights, the order "
        "of images and their augmentation are drawn alike, so differences are taken in pairs.",
    ]
    if plan["budget"]["minutes"] is not None:
        text.append(
            f"{results['budget']} means the optimizer steps that fit into that time on a quiet "
            f"machine with {counted(plan['threads'], 'thread')}: every arm's step was timed in "
            "turns with the base's before the first run, evaluation left out. The runs were then "
            "decided by steps, whatever else the machine did. Images a second are those of that "
            "measurement."
        )
    else:
        text.append(
            f"Every run had {results['budget']}. Images a second are those of the runs as they "
            "went, side by side and with whatever else the machine did."
        )
    if len(seeds) > 1:
        alone = 1 - 0.95**arms
        text.append(
            f"Intervals are Student's t on {counted(len(seeds), 'pair')}: wide, and right if "
            "differences are near normal, which so few cannot show. They are about other seeds, "
            "not about other images or longer runs. Each is for one comparison: in a table of "
            f"{counted(arms, 'arm')} without any effect, at least one would seem to have one with "
            f"a chance of up to {percent(alone, 0)}."
        )
    else:
        text.append("One seed a run: no interval, and no difference can be told from chance.")
    return el(
        "section",
        el("h2", "How it was measured"),
        *(el("p", part) for part in text),
        _timings(plan),
        id="method",
    )


def _timings(plan: Mapping[str, Any]) -> Html | None:
    if plan["timings"] is None:
        return None
    rows = [
        (
            arm,
            Cell(f"{1000 * timing['step_seconds']:.4g}", timing["step_seconds"]),
            Cell(f"{timing['ratio']:.3f}", timing["ratio"]),
        )
        for arm, timing in plan["timings"].items()
    ]
    heads = ("Arm", "Step (ms)", "To the base's")
    return details("Time of a training step", table(heads, rows, label="Time of a step"))


def _machine(plan: Mapping[str, Any]) -> Html:
    made, machine = plan["made_with"], plan["environment"] or {}
    threads = counted(plan["threads"], "thread")
    pairs = (
        ("Processor", machine.get("processor")),
        ("Machine", machine.get("machine")),
        ("Side by side", f"{counted(plan['jobs'], 'run')}, {threads} each"),
        ("Versions", ", ".join(f"{name} {number}" for name, number in made.items())),
        ("Command", plan["command"] and el("code", plan["command"])),
    )
    return el("section", el("h2", "Machine"), facts(pairs), id="machine")
