"""The experiments: what was expected, what came out, and one's own go at them, to watch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from dash import html

from fathom.experiments.plan import PLAN, Plan
from fathom.experiments.registry import EXPERIMENTS, about, function_of
from fathom.explorer.controls import choice
from fathom.explorer.courses import draw_courses
from fathom.explorer.folders import read, run_names, stamp
from fathom.explorer.jobs import RESULTS, SCALES, Jobs, Progress
from fathom.explorer.live import following
from fathom.explorer.page import Action, Card, Page
from fathom.explorer.served import report_address
from fathom.explorer.shell import facts, graph, message, named
from fathom.figures.charts import chart_from_dict
from fathom.figures.draw import draw
from fathom.ledger.recorded import recorded
from fathom.report.markup import counted, duration

_WATCHED = 4  # cells whose loss is drawn while they train
_KEPT = 64  # small files in memory


def page(folder: Path, jobs: Jobs) -> Page:
    """The page of experiments: those recorded, and those in the folder of runs."""
    names = {name: f"{name}{'' if recorded(name) else ' (not recorded)'}" for name in EXPERIMENTS}
    scales = {name: scale.label for name, scale in SCALES.items()}

    def watch(experiment: str) -> Any:
        return draw_watch(folder, experiment, jobs.progress())

    def own(experiment: str) -> Any:
        return draw_own(folder, experiment)

    def seen(experiment: str) -> str:
        """What changes when anything does: how the job is, and the experiments in the folder."""
        job = jobs.progress()
        told = [] if job is None else [str(job.code), *job.lines, *_cells_written(job.folder)]
        if job is not None and job.code is None:
            told.append(f"{job.seconds:.0f}")
        found = own_folders(folder, experiment)
        return "\n".join([*told, *(f"{path.name} {_mark(path)}" for path in found)])

    made = Page(
        path="experiments",
        title="Experiments",
        lead="The effects that made depth work, shown on real networks: with seeds, intervals, and "
        "what was expected before anybody looked. Run one here, small, and watch.",
        controls=(
            choice("experiment", "Experiment", names, "degradation"),
            choice("scale", "How much of it", scales, "quick"),
        ),
        cards=(
            Card("watch", "Here and now", watch, ("experiment",)),
            Card("findings", "What came out", draw_findings, ("experiment",)),
            Card("own", "What came out here", own, ("experiment",)),
            Card("about", "What it is", draw_about, ("experiment",)),
        ),
        actions=(
            Action("run", "Run it", jobs.start, ("experiment", "scale")),
            Action("stop", "Stop it", jobs.stop),
        ),
    )
    return following(made, ("watch", "own"), seen, seconds=1.0)


def draw_watch(folder: Path, experiment: str, job: Progress | None) -> Any:
    """How the job is: cells, time, the last lines it printed, and the loss of what it trains."""
    if job is None:
        return html.P(
            f"Nothing is running. “Run it” takes {experiment} through the digits that come with "
            f"scikit-learn, at low priority, into {folder}. What is stopped keeps what it measured."
        )
    done, planned = _cells(job.folder)
    told = [_ending(job)]
    if planned:
        told.append(f"{done} of {counted(planned, 'cell')} measured: an arm and a seed each.")
    parts = [
        html.P(" ".join(told)),
        html.Progress(value=str(done), max=str(planned or 1), **named("Cells measured")),
        html.Pre("\n".join(job.lines) or "It has said nothing yet.", className="diagram"),
    ]
    if job.code is None and planned:
        training = [read(path) for path in _training_folders(job.folder)]
        plot, told = draw_courses("experiments-watched", training, "batch_loss", "step")
        parts += [plot] if told else []
    return parts


def _ending(job: Progress) -> str:
    name = f"{job.experiment}, into {job.folder}"
    if job.code is None:
        return f"{name}: running for {duration(job.seconds)}."
    word = {0: "done", 130: "stopped"}.get(job.code, f"broke off with status {job.code}")
    return f"{name}: {word} after {duration(job.seconds)}."


def _cells_written(folder: Path) -> list[str]:
    """What has been written of the cells, those that train included."""
    cells = folder / "cells"
    return [str(len(list(cells.glob("*.json")))), *map(stamp, _training_folders(folder))]


def _cells(folder: Path) -> tuple[int, int]:
    """Cells that are measured, and cells that there will be; 0 before the plan is written."""
    if not (folder / PLAN).is_file():
        return 0, 0
    done = {path.name for path in (folder / "cells").glob("*.json")}
    return len(done), _planned(folder, _mark(folder / PLAN))


@lru_cache(_KEPT)
def _planned(folder: Path, _: int) -> int:
    plan = Plan.read(folder)
    return len(function_of(plan.name)(plan.setting).arms) * len(plan.seeds)


def _training_folders(folder: Path) -> list[Path]:
    """The last few cells in training."""
    cells = folder / "cells"
    return [cells / name for name in run_names(cells)[:_WATCHED]]


def draw_findings(experiment: str) -> Any:
    """Sentences, charts and setting of a recorded run."""
    found = recorded(experiment)
    if found is None:
        return message(f"No run of it is recorded yet: `fathom experiment {experiment}` runs it.")
    return _found(found, "experiments-chart")


def _found(found: Mapping[str, Any], identifier: str) -> list[Any]:
    """What a results file holds."""
    setting, findings = found["setting"], found["findings"]
    plots = []
    for number, values in enumerate(findings["charts"]):
        chart = chart_from_dict(values)
        plots += [
            html.H4(chart.title),
            graph(f"{identifier}-{number}", draw(chart), describes=chart.caption),
            html.P(chart.caption, className="quiet"),
        ]
    verdicts = ", ".join(f"{c}: {v['verdict']}" for c, v in findings["verdicts"].items())
    return [
        html.H3(found["title"]),
        facts(
            (
                ("Expected", found["expected"]),
                ("Verdict", verdicts),
                ("Recorded", f"{setting['date']} on {setting['data']}, seeds "
                             f"{', '.join(map(str, setting['seeds']))}"),
                ("Command", setting["command"]),
            )
        ),
        *[html.P(sentence) for sentence in findings["sentences"]],
        *plots,
    ]  # fmt: skip


def draw_own(folder: Path, experiment: str) -> Any:
    """The newest results of one's own, and where the others are."""
    found = own_folders(folder, experiment)
    done = [path for path in found if (path / RESULTS).is_file()]
    parts: list[Any] = []
    if done:
        values = _values(done[0] / RESULTS, _mark(done[0] / RESULTS))
        if values["setting"]["quick"]:
            parts.append(message("A quick run, too short for any effect to show."))
        parts += _found(values, "experiments-own")
    elsewhere = [html.Li(_line(path)) for path in found]
    if not elsewhere:
        return html.P(f"Nothing yet: no run of {experiment} lies in {folder}.")
    return [*parts, html.H4(f"In {folder}"), html.Ul(elsewhere)]


def _line(path: Path) -> list[Any]:
    """A folder in a line: how far it is, and its report."""
    address = report_address(path)
    if (path / RESULTS).is_file():
        setting = _values(path / RESULTS, _mark(path / RESULTS))["setting"]
        told = f"{path.name}: {setting['date']}, {counted(len(setting['seeds']), 'seed')}"
    else:
        done, planned = _cells(path)
        told = f"{path.name}: {done} of {counted(planned, 'cell')} measured"
    report = html.A("report", href=address, target="_blank") if address else None
    return [told, *([", ", report] if report else [])]


def own_folders(folder: Path, experiment: str) -> list[Path]:
    """The folders of an experiment among the runs, the newest first."""
    try:
        plans = [(_mark(path / PLAN), path) for path in folder.iterdir() if (path / PLAN).is_file()]
    except OSError:
        return []
    found = [(mark, path) for mark, path in plans if _name(path / PLAN, mark) == experiment]
    return [path for _, path in sorted(found, reverse=True)]


def _mark(path: Path) -> int:
    """When something was written."""
    return path.stat().st_mtime_ns


def _name(path: Path, mark: int) -> str:
    try:
        return str(_values(path, mark).get("name"))
    except ValueError:
        return ""  # not whole: no experiment that can be shown


@lru_cache(_KEPT)
def _values(path: Path, _: int) -> dict[str, Any]:
    """What a file of an experiment holds. Raises ValueError where it is not whole."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds no object")
    return found


def draw_about(experiment: str) -> Any:
    """Source, method and departures, as its function says them."""
    known = EXPERIMENTS[experiment]
    pairs = (("Shows", known.shows), ("Source", known.source))
    return [facts(pairs), html.Pre(about(experiment), className="diagram", tabIndex=0)]
