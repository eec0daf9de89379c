"""`fathom train`: options into a recipe, reports onto the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from fathom.cli import STARTED
from fathom.cli.assignments import assignments
from fathom.cli.follow import command_line, follow
from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import UserError, require

if TYPE_CHECKING:
    from fathom.doctor import Doctor
    from fathom.training.recipe import Recipe

_MODEL = Group("Model and training", sort_key=2)
_OUTPUT = Group("Output", sort_key=3)
_FLAG = Parameter(negative="", show_default=False)


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
    doctor
        on looks for what is wrong, warns as soon as it is certain, and ends with a verdict.
    quiet
        Print nothing but errors.
    json
        Print one JSON object at the end: run, top1, loss, epochs, seconds and more; doctor is the
        list of causes that were found.
    """

    out: Path | None = None
    resume: Path | None = None
    save_every: float = 30.0
    doctor: Literal["on", "off"] = "on"
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


def train(
    data: Annotated[str | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = AS_FOUND,
    how: TrainingOptions = TrainingOptions(),
    output: OutputOptions = OutputOptions(),
) -> int:
    """Train a network on images and write a report."""
    require(output.save_every >= 0, f"--save-every is {output.save_every}; use 0 or more seconds")
    changes = _changes(how)
    if output.resume is not None:
        given = [*([data] if data else []), *(f"data.{name}" for name in where.given()), *changes]
        _refuse_changes(given, how, output)
        from fathom.training.session import resume

        doctor = _doctor(output)
        stream = resume(
            output.resume, save_seconds=output.save_every, started=STARTED, attendant=doctor
        )
        return follow(stream, quiet=output.quiet, as_json=output.json, doctor=doctor)
    if output.out is not None:
        from fathom.training.run import refuse_used

        refuse_used(output.out)
    recipe = _recipe(data, where, how, changes)
    from fathom.training.session import train as run_training

    doctor = _doctor(output)
    stream = run_training(
        recipe,
        out=output.out,
        save_seconds=output.save_every,
        started=STARTED,
        command=command_line(),
        attendant=doctor,
    )
    return follow(stream, quiet=output.quiet, as_json=output.json, doctor=doctor)


def _doctor(output: OutputOptions) -> Doctor | None:
    """Who attends the run, unless that is not wanted."""
    from fathom.doctor import Doctor

    return Doctor() if output.doctor == "on" else None


def _changes(how: TrainingOptions) -> dict[str, str]:
    """Every option that was given, as path -> text; --set comes last."""
    changes = {}
    for option, path in _PATHS.items():
        value = getattr(how, option)
        if value is not None:
            changes[path] = str(value)
    changes |= assignments("--set", how.set)
    if how.quick:
        changes["steps"] = "2"
    return changes


def _refuse_changes(given: list[str], how: TrainingOptions, output: OutputOptions) -> None:
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
    from fathom.recipes.registry import recipe

    return recipe(how.recipe, where.settings(data), changes=changes)
