"""`fathom ablate`: what each trick brings, on the same budget."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from fathom.cli.assignments import assignment
from fathom.cli.follow import NowAndThen, command_line, terminable
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.ablation import Ended, Plan, Record, Results
    from fathom.ablation.results import ArmResult

_ARMS = Group("What is compared", sort_key=1)
_BUDGET = Group("What each arm may spend (one of three)", sort_key=2)
_OUTPUT = Group("Runs and output", sort_key=3)
_FLAG = Parameter(negative="", show_default=False)


@Parameter(name="*", group=_ARMS)
@dataclass(frozen=True)
class ArmOptions:
    """The base and its changes.

    Parameters
    ----------
    recipe
        The base: default, or another of `fathom recipes`.
    model
        The network of all arms, a name from `fathom models`.
    set
        Any field of the base by its path, as in --set batch_size=256. Repeatable.
    without
        Tricks of the base to leave out, with commas between them, each in an arm of its own. By
        default every trick that the base has.
    with_
        Tricks to add to the base, as in --with mixup,cutout,ema, each in an arm of its own. A name
        that is none is answered with all there are.
    arm
        An arm of your own, as in --arm big:optimizer.lr=0.4,batch_size=256. Repeatable.
    """

    recipe: str | None = None
    model: str | None = None
    set: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    without: str | None = None
    with_: Annotated[str | None, Parameter(name="--with")] = None
    arm: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()


@Parameter(name="*", group=_BUDGET)
@dataclass(frozen=True)
class BudgetOptions:
    """The same for every arm.

    Parameters
    ----------
    minutes
        Training time of a run on a quiet machine. Each arm's step is timed first, in turns with the
        base's, with the threads that its runs will have; a run then takes the optimizer steps that
        fit into the minutes, evaluation not counted, however long they really take.
    epochs
        Passes over the training images.
    steps
        Optimizer steps.
    """

    minutes: float | None = None
    epochs: int | None = None
    steps: int | None = None


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class OutputOptions:
    """How often, how many at once, and where to.

    Parameters
    ----------
    seeds
        Runs of each arm, with the same seeds in all arms (3 by default).
    jobs
        Runs side by side, which share the cores (1 by default).
    out
        The folder of all runs and the report; by default runs/ablate-DATA-MODEL.
    resume
        Go on with an ablation that was stopped or killed.
    json
        Print one JSON object at the end: arms with runs, means, differences and sentences.
    """

    seeds: int | None = None
    jobs: int | None = None
    out: Path | None = None
    resume: Path | None = None
    json: Annotated[bool, _FLAG] = False


def ablate(
    data: str | None = None,
    /,
    *,
    what: ArmOptions = ArmOptions(),
    budget: BudgetOptions = BudgetOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Train with and without each trick on the same budget, and say what each brings.

    Parameters
    ----------
    data
        As for `fathom train`: a folder, archive, CSV manifest or built-in set.
    """
    if output.resume is not None:
        given = _given(data, what, budget, output)
        require(
            not given,
            f"--resume goes on with the plan of the ablation, so {', '.join(given)} cannot be "
            "given with it",
        )
        from fathom.ablation import resume

        return _follow(resume(output.resume), output.resume, output)
    from fathom.ablation import ablate as start

    plan, out = _plan(data, what, budget, output)
    return _follow(start(plan, out), out, output)


def _given(
    data: str | None, what: ArmOptions, budget: BudgetOptions, output: OutputOptions
) -> list[str]:
    """The options that were given, of those that a plan is made from."""
    options = {**asdict(what), **asdict(budget)}
    options |= {"seeds": output.seeds, "jobs": output.jobs, "out": output.out}
    names = [f"--{name.rstrip('_')}" for name, value in options.items() if value not in (None, ())]
    return [*([data] if data else []), *names]


def _plan(
    data: str | None, what: ArmOptions, budget: BudgetOptions, output: OutputOptions
) -> tuple[Plan, Path]:
    from fathom.ablation import Budget, choose_arms, make_plan
    from fathom.data.settings import DataSettings
    from fathom.recipes.registry import recipe
    from fathom.runtime import available_cores
    from fathom.training.run import next_folder, refuse_used

    allowed = Budget(budget.minutes, budget.epochs, budget.steps)
    if output.out is not None:
        refuse_used(output.out)
    changed = dict(map(_own_arm, what.arm))
    require(len(changed) == len(what.arm), "two --arm have the same name; give each its own")
    changes = dict(assignment("--set", text) for text in what.set)
    for path in ("epochs", "minutes", "steps"):
        require(path not in changes, f"--set {path} has no effect here; use --{path}")
    if what.model is not None:
        changes = {"model.name": what.model, **changes}
    apart = any(f"data.{role}" in changes for role in ("train", "val", "test"))
    source = data if data is not None or apart else "digits"
    base = recipe(what.recipe or "default", DataSettings(source=source), changes=changes)
    arms, notes = choose_arms(
        base, without=_names(what.without), added=_names(what.with_), changed=changed
    )
    plan = make_plan(
        arms,
        allowed,
        seeds=3 if output.seeds is None else output.seeds,
        jobs=1 if output.jobs is None else output.jobs,
        cores=available_cores(),
        notes=notes,
        command=command_line(),
    )
    name = re.sub(r"\.(zip|tar|csv)(\.\w+)?$", "", Path(source or changes["data.train"]).name)
    return plan, output.out or next_folder(f"ablate-{name}-{base.model.name}")


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _own_arm(text: str) -> tuple[str, dict[str, str]]:
    """ "NAME:path=value,path=value" as a name and changes; values may hold commas, too."""
    name, colon, rest = text.partition(":")
    require(
        bool(colon and name and rest),
        f"--arm takes NAME:path=value, as in big:optimizer.lr=0.4; got {text}",
    )
    parts = re.split(r",(?=\s*[\w.]+=)", rest)
    return name, dict(assignment("--arm", part) for part in parts)


def _follow(stream: Generator[Record, None, None], out: Path, output: OutputOptions) -> int:
    """Print how far it is, keep the report up to date, and print the table at the end."""
    from fathom.ablation import Finished

    results: Results | None = None
    shown = _Lines()
    try:
        with terminable(), closing(stream) as records:
            for record in records:
                shown.show(record)
                _write_reports(record, out)
                if isinstance(record, Finished):
                    results = record.results
    except KeyboardInterrupt:
        print(
            f"fathom: stopped and saved; go on with: fathom ablate --resume {out}", file=sys.stderr
        )
        return 130
    assert results is not None
    if output.json:
        found = {"ablation": str(out), "report": str(out / "report.html"), **results.to_dict()}
        print(json.dumps(found, ensure_ascii=False))
    else:
        _show_table(results)
        print(f"report: {out / 'report.html'}")
    return 0


def _write_reports(record: Record, out: Path) -> None:
    """The report of a run that has ended, and that of them all."""
    from fathom.ablation import Ended, Finished
    from fathom.report import write_report
    from fathom.report.ablation_page import write_ablation

    if isinstance(record, Ended) and record.status != "unfinished":
        write_report(record.run)
    if isinstance(record, Ended | Finished):
        write_ablation(out)


class _Lines:
    """Plain lines on standard error: of a run's steps now and then, of all else always."""

    def __init__(self) -> None:
        self._due = NowAndThen()

    def show(self, record: Record) -> None:
        """Print one record, unless its run has spoken just now."""
        from fathom.ablation import Calibrating, Ended, Stepping
        from fathom.cli.progress import clock

        text = None
        if isinstance(record, Calibrating):
            text = (
                f"timed {record.done} of {record.planned}: a step of {record.arm} takes "
                f"{record.ratio:.3f} times the base's"
            )
        elif isinstance(record, Stepping) and self._due(record.arm, record.seed):
            text = (
                f"{record.share:4.0%}  {record.arm} seed {record.seed}: step {record.step:,} of "
                f"{record.steps:,}"
            )
            if record.seconds_left is not None:
                text += f"; {clock(record.seconds_left)} left for all runs"
        elif isinstance(record, Ended):
            text = f"{record.arm} seed {record.seed}: {_end(record)}"
        if text is not None:
            print(text, file=sys.stderr, flush=True)


def _end(record: Ended) -> str:
    arm = next(arm for arm in record.results.arms if arm.name == record.arm)
    run = next(run for run in arm.runs if run.seed == record.seed)
    if run.status == "finished":
        return f"top-1 {run.top1:.2%} of {record.results.split} images, {run.steps:,} steps"
    if run.status == "diverged":
        return f"diverged at step {run.steps}"
    return f"failed: {record.reason}"


def _show_table(results: Results) -> None:
    from fathom.cli.tables import print_columns

    heads = (
        "arm",
        "top-1",
        "sd",
        "lowest",
        "highest",
        "to base",
        "95 % interval",
        "images/s",
        "steps",
        "epochs",
    )
    print(
        f"{results.budget} an arm, {len(results.seeds)} seed"
        f"{'' if len(results.seeds) == 1 else 's'} each, {results.num_images or 0:,} "
        f"{results.split or ''} images judge; figures in percent and points"
    )
    print_columns(heads, [_cells(arm) for arm in results.arms], left=("arm",))
    print()
    for arm in results.arms[1:]:
        print(f"{arm.name}: {arm.sentence}")


def _cells(arm: ArmResult) -> Sequence[str]:
    difference = arm.difference
    interval = ""
    if difference is not None and difference.low is not None and difference.high is not None:
        interval = f"{100 * difference.low:+.2f} to {100 * difference.high:+.2f}"
    return (
        arm.name,
        _number(arm.top1, ".2f", 100),
        _number(arm.sd, ".2f", 100),
        _number(arm.lowest, ".2f", 100),
        _number(arm.highest, ".2f", 100),
        _number(None if difference is None else difference.mean, "+.2f", 100),
        interval,
        _number(arm.images_per_second, ",.0f"),
        _number(arm.steps, ",d"),
        _number(arm.epochs, ".4g"),
    )


def _number(value: float | None, form: str, scale: int = 1) -> str:
    return "" if value is None else format(value * scale, form)
