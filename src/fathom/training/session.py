"""From a recipe or a run folder to a stream of reports: `train` and `resume`.

    for report in train(recipe):
        ...

Leaving the loop early saves a checkpoint; `resume` goes on from it, and ends with the same bits as
a run that was never left (by epochs or steps; same machine, same number of threads).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from fathom.data.load import Dataset
from fathom.errors import UserError
from fathom.preprocess import Preprocess
from fathom.runtime import configured
from fathom.training.checkpoint import load_checkpoint
from fathom.training.describe import describe
from fathom.training.recipe import Recipe
from fathom.training.reports import Report
from fathom.training.run import Run, next_folder, refuse_used
from fathom.training.setup import Setup
from fathom.training.trainer import Attendant, Trainer


def train(
    recipe: Recipe,
    *,
    out: str | Path | None = None,
    save_seconds: float = 30.0,
    started: float | None = None,
    command: str | None = None,
    dataset: Dataset | None = None,
    attendant: Attendant | None = None,
) -> Generator[Report, None, None]:
    """Train as the recipe says and yield a report after every step and epoch.

    Args:
        recipe: what to do.
        out: the run folder, which must not exist or be empty; runs/DATA-MODEL by default.
        save_seconds: least time between two checkpoints.
        started: `time.monotonic()` at the start that minutes are counted from; now by default.
        command: what to record as the command that reproduces the run.
        dataset: the data, where they are loaded already as the recipe says.
        attendant: who looks on, as `fathom.doctor.Doctor`.

    Raises:
        UserError: the data or the recipe cannot be used, the disk is full, or the loss became NaN.
    """
    started = time.monotonic() if started is None else started
    if out is not None:
        refuse_used(Path(out))
    setup = Setup.of(recipe, dataset=dataset)
    folder = Path(out) if out else next_folder(f"{setup.dataset.name}-{recipe.model.name}")
    run = Run.create(folder, recipe, command)
    describe(run, setup)
    with configured(setup.runtime):
        trainer = Trainer(
            run, setup, save_seconds=save_seconds, started=started, attendant=attendant
        )
        yield from trainer.reports()


def resume(
    folder: str | Path,
    *,
    save_seconds: float = 30.0,
    started: float | None = None,
    attendant: Attendant | None = None,
) -> Generator[Report, None, None]:
    """Go on with a run from its last good checkpoint, as `train` does.

    Raises UserError for a folder that is no run, a run that has ended, or data that have changed.
    """
    started = time.monotonic() if started is None else started
    run = Run.open(Path(folder))
    if run.has("result"):
        raise UserError(f"{folder} has already ended; look at {run.report}")
    checkpoint = load_checkpoint(run.checkpoints, "last")
    setup = Setup.of(run.recipe(), resumed=Preprocess.from_dict(run.read("data")["preprocess"]))
    if setup.dataset.fingerprint != run.read("data")["fingerprint"]:
        raise UserError(
            f"the data of {folder} have changed since it started, so it cannot be resumed; bring "
            "them back as they were, or start a new run"
        )
    was, now = run.read("environment")["machine"], setup.runtime.describe()
    if was != now:
        note = f"begun on {was}, resumed on {now}: the last bits may differ from a whole run's"
        checkpoint = replace(checkpoint, note="; ".join(filter(None, (checkpoint.note, note))))
    with configured(setup.runtime):
        trainer = Trainer(
            run,
            setup,
            save_seconds=save_seconds,
            started=started,
            checkpoint=checkpoint,
            attendant=attendant,
        )
        yield from trainer.reports()
