"""`fathom train`: options into a recipe, reports onto the terminal."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from fathom.cli import STARTED
from fathom.cli.assignments import assignments
from fathom.errors import UserError, require

if TYPE_CHECKING:
    from fathom.training.recipe import Recipe
    from fathom.training.reports import Finished, Report

_DATA = Group("Data", sort_key=1)
_MODEL = Group("Model and training", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)
_FLAG = Parameter(negative="", show_default=False)


@Parameter(name="*", group=_DATA)
@dataclass(frozen=True)
class DataOptions:
    """Where the images are.

    Parameters
    ----------
    train_data
        Training images, where they lie apart: a folder or archive of class folders.
    val_data
        Validation images that belong to --train-data.
    test_data
        Test images that belong to --train-data.
    data_dir
        Where downloaded sets lie; by default ~/.cache/fathom.
    val_fraction
        Share of every class to hold out, where the data have no split (0.2 by default).
    on_bad_image
        Files that cannot be used: go on without them (skip), or stop (fail).
    workers
        Processes that decode images which do not fit in memory.
    """

    train_data: str | None = None
    val_data: str | None = None
    test_data: str | None = None
    data_dir: str | None = None
    val_fraction: float | None = None
    on_bad_image: Literal["skip", "fail"] | None = None
    workers: int | None = None


@Parameter(name="*", group=_MODEL)
@dataclass(frozen=True)
class TrainingOptions:
    """How to train.

    Parameters
    ----------
    recipe
        What all other options change: default, fast, or a paper's; `fathom recipes` lists them.
    model
        The network, a name from `fathom models`.
    weights
        Pretrained weights to start from: torchvision, torchvision:NAME, timm:NAME, lite, or a file.
    epochs
        Passes over the training images.
    minutes
        Time for everything; the learning rate is annealed when it ends.
    steps
        Optimizer steps.
    batch_size
        Images in one step.
    image_size
        Side of the square that the network sees, in pixels.
    optimizer
        sgd (with Nesterov momentum) or adamw.
    lr
        The highest learning rate of the schedule.
    schedule
        cosine, step or one_cycle.
    weight_decay
        Pull of the weights towards zero; norms and biases are spared.
    label_smoothing
        Share of each label that is spread over all classes.
    ema
        Decay of the running average of the weights, or none.
    clip_norm
        Bound on the norm of the gradient, or none.
    select
        Weights to keep as the result: the last, or the best on validation images.
    patience
        With --select best: stop after so many epochs without a better one.
    seed
        Everything random follows from it.
    device
        auto, cpu, cuda, cuda:1, mps.
    precision
        auto, float32, bfloat16 or float16.
    set
        Any field of the recipe by its path, as in --set augment.crop.padding=2. Repeatable.
    quick
        Two steps only, to see that everything works.
    """

    recipe: str = "default"
    model: str | None = None
    weights: str | None = None
    epochs: int | None = None
    minutes: float | None = None
    steps: int | None = None
    batch_size: int | None = None
    image_size: int | None = None
    optimizer: str | None = None
    lr: float | None = None
    schedule: str | None = None
    weight_decay: float | None = None
    label_smoothing: float | None = None
    ema: str | None = None
    clip_norm: str | None = None
    select: Literal["last", "best"] | None = None
    patience: int | None = None
    seed: int | None = None
    device: str | None = None
    precision: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    set: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    quick: Annotated[bool, _FLAG] = False


@Parameter(name="*", group=_OUTPUT)
@dataclass(frozen=True)
class OutputOptions:
    """What is written and printed.

    Parameters
    ----------
    out
        The run folder; by default runs/DATA-MODEL, numbered if that exists.
    resume
        Go on with a run that was stopped or killed, from its last checkpoint.
    save_every
        Least seconds between two checkpoints.
    quiet
        Print nothing but errors.
    json
        Print one JSON object at the end: run, top1, loss, epochs, seconds and more.
    """

    out: Path | None = None
    resume: Path | None = None
    save_every: float = 30.0
    quiet: Annotated[bool, _FLAG] = False
    json: Annotated[bool, _FLAG] = False


# Option -> path in the recipe, in the order in which they are applied.
_PATHS = {
    "model": "model.name",
    "weights": "model.weights",
    "optimizer": "optimizer",
    "schedule": "schedule",
    "epochs": "epochs",
    "minutes": "minutes",
    "steps": "steps",
    "batch_size": "batch_size",
    "image_size": "image_size",
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "label_smoothing": "loss.label_smoothing",
    "ema": "ema",
    "clip_norm": "clip_norm",
    "select": "select",
    "patience": "patience",
    "seed": "seed",
    "device": "device",
    "precision": "precision",
}
_DATA_PATHS = {
    "train_data": "data.train",
    "val_data": "data.val",
    "test_data": "data.test",
    "data_dir": "data.data_dir",
    "val_fraction": "data.val_fraction",
    "on_bad_image": "data.on_bad_image",
    "workers": "data.workers",
}


_DATA_HELP = (
    "A folder of class folders (with train and val or test, or without a split), a zip or tar of "
    "them, a CSV manifest (path,label[,split]), or a built-in set: digits (the default), "
    "fashion-mnist, cifar10, cifar100 and more of torchvision's."
)


def train(
    data: Annotated[str | None, Parameter(help=_DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = DataOptions(),
    how: TrainingOptions = TrainingOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Train a network on images and write a report."""
    require(output.save_every >= 0, f"--save-every is {output.save_every}; use 0 or more seconds")
    changes = _changes(where, how)
    if output.resume is not None:
        _refuse_changes(data, changes, how, output)
        from fathom.training.session import resume

        stream = resume(output.resume, save_seconds=output.save_every, started=STARTED)
        return _follow(stream, output)
    if output.out is not None:
        from fathom.training.run import refuse_used

        refuse_used(output.out)
    recipe = _recipe(data, where, how, changes)
    from fathom.training.session import train as run_training

    stream = run_training(
        recipe,
        out=output.out,
        save_seconds=output.save_every,
        started=STARTED,
        command=_command(),
    )
    return _follow(stream, output)


def _changes(where: DataOptions, how: TrainingOptions) -> dict[str, str]:
    """Every option that was given, as path -> text; --set comes last."""
    changes = {}
    for options, paths in ((where, _DATA_PATHS), (how, _PATHS)):
        for option, path in paths.items():
            value = getattr(options, option)
            if value is not None:
                changes[path] = str(value)
    changes |= assignments("--set", how.set)
    if how.quick:
        changes["steps"] = "2"
    return changes


def _refuse_changes(
    data: str | None, changes: dict[str, str], how: TrainingOptions, output: OutputOptions
) -> None:
    given = [*([data] if data else []), *changes]
    if how.recipe != "default":
        given.append("--recipe")
    if output.out is not None:
        given.append("--out")
    if given:
        raise UserError(
            f"--resume goes on with the recipe of the run, so {', '.join(given)} cannot be given "
            "with it; start a new run to change them"
        )


def _recipe(
    data: str | None, where: DataOptions, how: TrainingOptions, changes: dict[str, str]
) -> Recipe:
    lengths = [name for name in ("epochs", "minutes", "steps") if getattr(how, name) is not None]
    require(
        len(lengths) + how.quick <= 1,
        f"--{' and --'.join([*lengths, *(['quick'] if how.quick else [])])} exclude each other: "
        "each decides the length of the run",
    )
    apart = any((where.train_data, where.val_data, where.test_data))
    source = data if data is not None or apart else "digits"
    from fathom.data.settings import DataSettings
    from fathom.recipes.registry import recipe

    return recipe(how.recipe, DataSettings(source=source), changes=changes)


def _command() -> str:
    return shlex.join(["fathom", *sys.argv[1:]])


def _follow(stream: Generator[Report, None, None], output: OutputOptions) -> int:
    """Show the reports; on Ctrl-C leave after the step, which saves a checkpoint."""
    from fathom.cli.progress import Progress
    from fathom.training.reports import Finished, Started, StepReport

    finished: Finished | None = None
    run: Path | None = None
    with (
        _report_of_failure(lambda: run),
        Progress(quiet=output.quiet, stderr=output.json) as view,
        closing(stream) as reports,
        _interrupts() as interrupted,
    ):
        for report in reports:
            view.show(report)
            if isinstance(report, Started):
                run = report.run
                interrupted.arm()
            elif isinstance(report, Finished):
                finished = report
            elif isinstance(report, StepReport) and interrupted.asked:
                break
    if finished is None:
        assert run is not None
        print(
            f"fathom: stopped and saved; go on with: fathom train --resume {run}", file=sys.stderr
        )
        return 130
    return _end(finished, output)


@contextmanager
def _report_of_failure(run: Callable[[], Path | None]) -> Iterator[None]:
    """Write the report of a run that breaks off for a reason, as far as that can be done."""
    try:
        yield
    except UserError:
        folder = run()
        if folder is not None:
            from fathom.report import write_report

            with suppress(OSError, UserError):
                write_report(folder)
        raise


def _end(finished: Finished, output: OutputOptions) -> int:
    from fathom.report import write_report

    report = write_report(finished.run)
    found = finished.evaluation
    if output.json:
        result: dict[str, Any] = {
            "run": str(finished.run),
            "top1": found.top1,
            "loss": found.loss,
            "epochs": finished.epochs,
            "seconds": finished.seconds,
            "steps": finished.steps,
            "split": found.split,
            "num_images": found.num_images,
            "ece": found.ece,
            "weights": finished.weights,
            "weights_sha256": finished.weights_sha256,
            "report": str(report),
        }
        print(json.dumps(result, ensure_ascii=False))
    elif not output.quiet:
        print(f"report: {report}")
    return 0


class _Interrupt:
    """Whether the user asked to stop; armed once there is something to save."""

    def __init__(self) -> None:
        self.asked = False

    def arm(self) -> None:
        """From now on the first Ctrl-C or SIGTERM asks, and a second one stops at once."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        print("\nfathom: stopping after this step; once more to stop at once", file=sys.stderr)


@contextmanager
def _interrupts() -> Iterator[_Interrupt]:
    """Handlers for Ctrl-C and SIGTERM, put back afterwards."""
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield _Interrupt()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
