"""`fathom experiment`: the effects that made depth work, on one's own machine."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from fathom.cli.follow import NowAndThen, command_line, terminable
from fathom.cli.where import AS_FOUND, DATA_GROUP, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.experiments import Finished, Plan, Record
    from fathom.experiments.registry import Known

_FLAG = Parameter(negative="", show_default=False)
_WIDTH = 100


@Parameter(name="*", group=Group("How much", sort_key=2))
@dataclass(frozen=True)
class ScaleOptions:
    """How much of the experiment is done.

    Parameters
    ----------
    minutes
        Training time of all arms and seeds together, measurements included; by default the
        experiment's own. Every arm then takes the same steps.
    steps
        Optimizer steps of every arm.
    quick
        Go through everything once, in seconds: too short for any effect.
    seeds
        Repetitions with other seeds, 3 by default and for a verdict.
    images
        Training images to use, as many of every class; by default all.
    weights
        Pretrained weights, for the experiments that use some.
    device
        auto, cpu, cuda, cuda:1, mps.
    """

    minutes: float | None = None
    steps: int | None = None
    quick: Annotated[bool, _FLAG] = False
    seeds: int | None = None
    images: int | None = None
    weights: str | None = None
    device: str | None = None


AS_USUAL = ScaleOptions()


@Parameter(name="*", group=Group("Output", sort_key=3))
@dataclass(frozen=True)
class OutputOptions:
    """What is read and written.

    Parameters
    ----------
    about
        Print what the experiment is, where it comes from and how it departs, and run nothing.
    out
        The folder of all values and the report; by default runs/experiment-NAME-DATA.
    resume
        Go on with an experiment that was stopped or killed, in this folder.
    json
        Print one JSON object: the list, what an experiment is, or its values and findings.
    """

    about: Annotated[bool, _FLAG] = False
    out: Path | None = None
    resume: Path | None = None
    json: Annotated[bool, _FLAG] = False


def experiment(
    name: str | None = None,
    /,
    *,
    data: Annotated[str | None, Parameter(help=DATA_HELP, group=DATA_GROUP)] = None,
    where: DataOptions = AS_FOUND,
    scale: ScaleOptions = AS_USUAL,
    output: OutputOptions = OutputOptions(),
) -> int:
    """See for yourself why deep networks train: list the experiments, or run one.

    Parameters
    ----------
    name
        An experiment of the list, which is printed where there is no name.
    """
    given = _given(data, where, scale, output)
    if output.resume is not None:
        others = [*([name] if name else []), *(["--about"] if output.about else []), *given]
        require(
            not others,
            "--resume goes on with the plan of the experiment, so "
            f"{', '.join(others)} cannot be given with it",
        )
        from fathom.experiments import resume

        return _follow(resume(output.resume), output.resume, as_json=output.json)
    if name is None:
        given += ["--about"] if output.about else []
        require(not given, f"{', '.join(given)} needs an experiment; name one of the list")
        return _list(as_json=output.json)
    from fathom.experiments.registry import known_experiment

    known_experiment(name)  # before the seconds that importing what runs it takes
    if output.about:
        require(not given, f"--about runs nothing, so {', '.join(given)} has no effect; leave out")
        return _about(name, as_json=output.json)
    from fathom.experiments import run

    plan, out = _plan(name, data, where, scale, output)
    return _follow(run(plan, out), out, as_json=output.json)


def _given(
    data: str | None, where: DataOptions, scale: ScaleOptions, output: OutputOptions
) -> list[str]:
    """The options that only a run has, of those that were given."""
    options = {"data": data, **vars(where), **asdict(scale), "out": output.out}
    names = [name for name, value in options.items() if value not in (None, False)]
    return [f"--{name.replace('_', '-')}" for name in names]


def _plan(
    name: str,
    data: str | None,
    where: DataOptions,
    scale: ScaleOptions,
    output: OutputOptions,
) -> tuple[Plan, Path]:
    from fathom.experiments import make_plan, make_setting
    from fathom.training.run import next_folder, refuse_used

    if output.out is not None:
        refuse_used(output.out)
    settings = where.settings(data)
    setting = make_setting(
        settings, quick=scale.quick, weights=scale.weights, device=scale.device or "auto"
    )
    plan = make_plan(
        name,
        setting,
        seeds=scale.seeds,
        minutes=scale.minutes,
        steps=scale.steps,
        images=scale.images,
        command=command_line(),
    )
    found = Path(str(settings.source or settings.train)).name
    named = re.sub(r"\.(zip|tar|csv)(\.\w+)?$", "", found)
    return plan, output.out or next_folder(f"experiment-{name}-{named}")


def _list(*, as_json: bool) -> int:
    from fathom.experiments.registry import EXPERIMENTS
    from fathom.ledger.recorded import recorded

    dates = {name: _date(recorded(name)) for name in EXPERIMENTS}
    if as_json:
        rows = [
            {"name": name, **_facts(known), "recorded": dates[name]}
            for name, known in EXPERIMENTS.items()
        ]
        _print_json({"experiments": rows})
        return 0
    from fathom.cli.tables import console, print_columns

    heads = ("name", "minutes", "recorded", "what it shows", "source")
    lines = []
    for name, known in EXPERIMENTS.items():
        minutes = "" if known.minutes is None else f"{known.minutes:g}"
        lines.append((name, minutes, dates[name] or "", known.shows, known.source))
    print_columns(heads, lines, left=[head for head in heads if head != "minutes"])
    console().print(
        f"{len(lines)} experiments; minutes are of training, and --minutes changes them; "
        "more on one: fathom experiment NAME --about",
        markup=False,
    )
    return 0


def _date(results: Mapping[str, Any] | None) -> str | None:
    return None if results is None else str(results["setting"]["date"])


def _facts(known: Known) -> dict[str, Any]:
    return {
        "shows": known.shows,
        "source": known.source,
        "minutes": known.minutes,
        "weights": known.weights,
    }


def _about(name: str, *, as_json: bool) -> int:
    from fathom.experiments.registry import about, known_experiment

    known, text = known_experiment(name), about(name)
    if as_json:
        _print_json({"name": name, **_facts(known), "about": text})
    else:
        print(text)
    return 0


def _follow(stream: Generator[Record, None, None], out: Path, *, as_json: bool) -> int:
    """Print how far it is, and what came of it at the end."""
    from fathom.experiments import Finished

    finished: Finished | None = None
    due = NowAndThen()
    try:
        with terminable(), closing(stream) as records:
            for record in records:
                text = _line(record, due)
                if text is not None:
                    print(text, file=sys.stderr, flush=True)
                if isinstance(record, Finished):
                    finished = record
    except KeyboardInterrupt:
        again = (
            f"what is measured is kept; go on with: fathom experiment --resume {out}"
            if (out / "experiment.json").is_file()
            else "nothing was written"
        )
        print(f"fathom: stopped; {again}", file=sys.stderr)
        return 130
    assert finished is not None
    _end(finished, out, as_json=as_json)
    return 0


def _line(record: Record, due: NowAndThen) -> str | None:
    """A record in a line; None where its cell has spoken just now, and for the last record."""
    from fathom.cli.progress import clock
    from fathom.experiments import Measured, Stepping, Timed

    if isinstance(record, Timed):
        return (
            f"{record.steps:,} steps of every arm fit into the minutes; one of each takes "
            f"{record.seconds:.3g} s"
        )
    if isinstance(record, Stepping) and due(record.arm, record.seed):
        text = (
            f"{record.share:4.0%}  {record.arm}, seed {record.seed}: step {record.step:,} of "
            f"{record.steps:,}, loss {record.loss:.4f}"
        )
        if record.seconds_left is not None:
            text += f"; {clock(record.seconds_left)} left for all"
        return text
    if isinstance(record, Measured):
        return f"{record.arm}, seed {record.seed}: measured, {record.done} of {record.planned}"
    return None


def _end(finished: Finished, out: Path, *, as_json: bool) -> None:
    from fathom.experiments import read_results
    from fathom.report.experiment_page import write_experiment

    report = write_experiment(out)
    _, stored = read_results(out / "results.json")
    if as_json:
        findings = stored["findings"]
        _print_json(
            {
                "experiment": stored["name"],
                "folder": str(out),
                "report": str(report),
                "title": stored["title"],
                "expected": stored["expected"],
                "sentences": findings["sentences"],
                "verdicts": findings["verdicts"],
                "setting": stored["setting"],
                "cells": stored["cells"],
            }
        )
        return
    for text in _words(stored, finished.results.caption):
        print(textwrap.fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False))
    print(f"report: {report}")


def _words(stored: Mapping[str, Any], caption: str) -> list[str]:
    findings = stored["findings"]
    lines = [stored["title"], caption, f"Expected: {stored['expected']}"]
    if stored["setting"]["quick"]:
        lines.append("A quick run, too short for any effect to show:")
    lines += [f"- {sentence}" for sentence in findings["sentences"]]
    lines += [f"{claim}: {found['verdict']}" for claim, found in findings["verdicts"].items()]
    return lines


def _print_json(value: dict[str, Any]) -> None:
    json.dump(value, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
