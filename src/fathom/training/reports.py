"""What the trainer yields: plain records for the log, the progress bar, and whoever reads along."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fathom.evaluate import Evaluation


@dataclass(frozen=True)
class Started:
    """Everything is loaded and the first step is next.

    total_steps is None for a run by minutes. params counts trainable parameters, macs multiply-adds
    for one image. resumed_step is the step that a resumed run starts from, else None.
    """

    run: Path
    model: str
    params: int
    macs: int
    machine: str
    class_names: tuple[str, ...]
    counts: dict[str, int]
    judge: str
    bad_images: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    steps_per_epoch: int
    total_steps: int | None
    minutes: float | None
    resumed_step: int | None


@dataclass(frozen=True)
class StepReport:
    """One optimizer step has been taken; gradients still hold its values.

    step counts from 1, epoch from 0. loss (nats) and top1 (a fraction) are those of the augmented
    batch in training mode. seconds is the time since the start and seconds_left the estimate of
    what remains.
    """

    step: int
    epoch: int
    loss: float
    top1: float
    lr: float
    images_per_second: float
    seconds: float
    seconds_left: float


@dataclass(frozen=True)
class EpochReport:
    """One epoch is over, the last perhaps a part of one.

    train_loss and train_top1 are means over the epoch's augmented batches, in training mode. loss
    and top1 are measured on `split` in evaluation mode; None where the pace left no time for it.
    chosen says that these weights are the best on the validation images so far.
    """

    epoch: int
    step: int
    train_loss: float
    train_top1: float
    split: str | None
    loss: float | None
    top1: float | None
    chosen: bool
    lr: float
    images_per_second: float
    seconds: float


@dataclass(frozen=True)
class Warned:
    """Something the user should know, which does not stop the run."""

    step: int
    message: str


@dataclass(frozen=True)
class Finished:
    """The run is over: its result, measured on the judging split, and where everything lies.

    weights is "last" or "best"; weights_sha256 fingerprints them.
    """

    run: Path
    evaluation: Evaluation
    weights: str
    weights_sha256: str
    epochs: float
    steps: int
    seconds: float
    stopped_early: bool


Report = Started | StepReport | EpochReport | Warned | Finished
