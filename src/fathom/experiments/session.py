"""From a plan to a stream of records: `run` and `resume`.

Cells run one after the other, all arms of the first seed, then of the next. A cell that has been
measured is kept; one that broke off starts over, and ends with the same bits.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from fathom.data.catalog import open_catalog
from fathom.data.load import Dataset
from fathom.errors import UserError, require
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell, fewer
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Values
from fathom.experiments.plan import PLAN, Plan
from fathom.experiments.registry import function_of
from fathom.runtime import Runtime, choose_runtime, configured
from fathom.training.describe import describe, environment
from fathom.training.recipe import Recipe
from fathom.training.reports import Report, StepReport
from fathom.training.run import FORMAT, Run, refuse_used, write_json
from fathom.training.setup import Setup, load_data
from fathom.training.trainer import Trainer

RESULTS = "results.json"
_TIMED = 4  # steps by which an arm's pace is taken; the first, which warms up, does not count
_SHARE = 0.85  # of the minutes goes into steps; the rest measures


@dataclass(frozen=True)
class Timed:
    """Minutes have become steps, the same for every arm."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class Stepping:
    """A cell has taken another training step; share is the part of all cells that is done."""

    arm: str
    seed: int
    step: int
    steps: int
    loss: float
    share: float
    seconds_left: float | None


@dataclass(frozen=True)
class Measured:
    """A cell has been measured, and its values are stored."""

    arm: str
    seed: int
    values: Values
    done: int
    planned: int


@dataclass(frozen=True)
class Finished:
    """All cells are there; results.json holds what they come to."""

    folder: Path
    results: Results
    findings: Findings


Record = Timed | Stepping | Measured | Finished


def run(plan: Plan, out: str | Path) -> Generator[Record, None, None]:
    """Do the experiment in a new folder. Raises UserError for a folder in use, and for data or
    settings that cannot be used; nothing is written then."""
    folder = Path(out)
    refuse_used(folder)
    session = Session(folder, plan)
    with configured(session.runtime):
        session.load()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        plan.write(folder)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; choose --out") from error
    yield from session.records()


def resume(out: str | Path) -> Generator[Record, None, None]:
    """Go on with an experiment: what has been measured is kept.

    Raises UserError as `run` does, and for a folder that holds no experiment.
    """
    yield from Session(Path(out), Plan.read(Path(out))).records()


class Session:
    """One sitting of one experiment."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan = folder, plan
        self.experiment: Experiment = function_of(plan.name)(plan.setting)
        self.runtime: Runtime = choose_runtime(plan.setting.device)
        self._loaded: tuple[Any, Dataset] | None = None
        files = {self._file(arm, 0) for arm in self.experiment.arms}
        assert len(files) == len(self.experiment.arms), "two arms share a name"
        self._began, self._ended_before = time.monotonic(), 0

    def load(self) -> None:
        """Load the data of the first arm, so that what is wrong with them is found early; without a
        recipe the experiment itself knows which it needs, and when."""
        recipe = self.experiment.arms[0].recipe
        if recipe is not None:
            self._dataset(recipe)

    def records(self) -> Iterator[Record]:
        """The whole of it."""
        with configured(self.runtime):
            yield from self._records()

    def _records(self) -> Iterator[Record]:
        if self.plan.minutes is not None and self.plan.steps is None:
            yield self._timed()
        cells = [(arm, seed) for seed in self.plan.seeds for arm in self.experiment.arms]
        waiting = [cell for cell in cells if not self._file(*cell).is_file()]
        self._began, self._ended_before = time.monotonic(), len(cells) - len(waiting)
        for done, (arm, seed) in enumerate(waiting, 1 + self._ended_before):
            values = yield from self._cell(arm, seed, (done - 1, len(cells)))
            self._file(arm, seed).parent.mkdir(exist_ok=True)
            write_json(self._file(arm, seed), {"format": FORMAT, **values})
            yield Measured(arm.name, seed, values, done, len(cells))
        results = self.results()
        findings = self.experiment.findings(results)
        write_results(self.folder, self.experiment, results, findings)
        yield Finished(self.folder, results, findings)

    def _cell(self, arm: Arm, seed: int, place: tuple[int, int]) -> Generator[Record, None, Values]:
        recipe = arm.recipe and self._recipe(arm.recipe, seed)
        view = recipe or comparing(self.plan.setting, "cifar_resnet20")
        cell = Cell(arm, seed, self.plan.setting, partial(self._dataset, view), self.runtime)
        if recipe is not None:
            cell.setup = _set_up(arm, recipe, cell.dataset)
            folder = self._file(arm, seed).with_suffix("")
            shutil.rmtree(folder, ignore_errors=True)
            for report in _trained(cell, folder, self.plan.command):
                if isinstance(report, StepReport):
                    cell.steps = report.step
                    if self.experiment.watch is not None:
                        self.experiment.watch(cell, report)
                    yield self._stepping(arm, seed, report, recipe, place)
        return self.experiment.measure(cell)

    def _recipe(self, recipe: Recipe, seed: int) -> Recipe:
        """With seed, and with the common length."""
        if self.plan.steps is not None:
            recipe = replace(recipe, steps=self.plan.steps, epochs=None, minutes=None)
        return replace(recipe, seed=seed)

    def _dataset(self, recipe: Recipe) -> Dataset:
        """The data as the recipe sees them; the last ones are kept."""
        crop = recipe.augment.crop
        key = (recipe.data, recipe.image_size, recipe.eval_size, recipe.eval_resize, crop)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # before the next are loaded
            self._loaded = key, fewer(load_data(recipe, None), self.plan.images)
        return self._loaded[1]

    def _stepping(
        self, arm: Arm, seed: int, report: StepReport, recipe: Recipe, place: tuple[int, int]
    ) -> Stepping:
        done, planned = place
        steps = recipe.steps or 1
        here = report.step / steps
        gained = done - self._ended_before + here
        seconds = time.monotonic() - self._began
        left = seconds * (planned - done - here) / gained if gained > 0.05 else None
        share = (done + here) / planned
        return Stepping(arm.name, seed, report.step, steps, report.loss, share, left)

    def _timed(self) -> Timed:
        """Measure every arm's step and turn the minutes into steps; the plan is stored anew."""
        assert self.plan.minutes is not None
        trained = [arm for arm in self.experiment.arms if arm.recipe]
        scratch = self.folder / "timing"
        seconds = 0.0
        for arm in trained:
            assert arm.recipe is not None
            recipe = replace(arm.recipe, steps=_TIMED, epochs=None, minutes=None)
            load = partial(self._dataset, recipe)
            cell = Cell(arm, 0, self.plan.setting, load, self.runtime)
            cell.setup = _set_up(arm, recipe, cell.dataset)
            shutil.rmtree(scratch, ignore_errors=True)
            marks = [
                time.perf_counter()
                for report in _trained(cell, scratch, None)
                if isinstance(report, StepReport)
            ]
            times = [after - before for before, after in pairwise(marks)]
            seconds += min(times)
        shutil.rmtree(scratch, ignore_errors=True)
        total = _SHARE * 60 * self.plan.minutes
        steps = int(total / (len(self.plan.seeds) * seconds))
        if steps < 1:
            (self.folder / PLAN).unlink()  # so that another try may use the folder
            raise UserError(
                f"{self.plan.minutes:g} minutes allow not one step: one of every arm takes "
                f"{seconds:.3g} seconds, for {len(self.plan.seeds)} seeds; allow more"
            )
        self.plan = replace(self.plan, steps=steps)
        self.plan.write(self.folder)
        return Timed(steps, seconds)

    def _file(self, arm: Arm, seed: int) -> Path:
        """Where the values of a cell lie; the run's folder is beside it, without the suffix."""
        name = re.sub(r"[^\w.+-]+", "-", arm.name).strip("-")
        return self.folder / "cells" / f"{name}-{seed}.json"

    def results(self) -> Results:
        """The values of all cells as they are stored."""
        cells: dict[str, dict[int, Values]] = {}
        for arm in self.experiment.arms:
            cells[arm.name] = {}
            for seed in self.plan.seeds:
                values = json.loads(self._file(arm, seed).read_text(encoding="utf-8"))
                values.pop("format")
                cells[arm.name][seed] = values
        return Results(self.plan.name, cells, self._setting())

    def _setting(self) -> dict[str, Any]:
        """What stands in captions and in the report."""
        plan = self.plan
        return {
            **self._measured_on(),
            "minutes": plan.minutes,
            "seeds": list(plan.seeds),
            "quick": plan.setting.quick,
            "weights": plan.setting.weights,
            "command": plan.command,
            "date": date.today().isoformat(),
            "environment": environment(self.runtime),
        }

    def _measured_on(self) -> dict[str, Any]:
        """Data and length; without recipes no more than the name, the rest is in the values."""
        recipe = next((arm.recipe for arm in self.experiment.arms if arm.recipe), None)
        if recipe is None:
            names = ("judge", "images", "judging_images", "image_size", "batch_size", "steps")
            name = open_catalog(self.plan.setting.data).name
            return {"data": name, **dict.fromkeys((*names, "epochs"))}
        dataset, steps = self._dataset(recipe), self.plan.steps
        images = len(dataset.splits["train"].images)
        return {
            "data": dataset.name,
            "judge": dataset.judge,
            "images": images,
            "judging_images": len(dataset.splits[dataset.judge].images),
            "image_size": recipe.image_size,
            "batch_size": recipe.batch_size,
            "steps": steps,
            "epochs": steps and steps * recipe.batch_size / images,
        }


def _set_up(arm: Arm, recipe: Recipe, dataset: Dataset) -> Setup:
    """All that a cell's training is made of, with the arm's own changes of the network."""
    setup = Setup.of(recipe, dataset=dataset)
    if arm.prepare is not None:
        arm.prepare(setup.model)
    return setup


def _trained(cell: Cell, folder: Path, command: str | None) -> Iterator[Report]:
    """Train the cell's network in an ordinary run folder. A loss that is no number ends the
    training and is a result: `measure` finds the network as it then is."""
    assert cell.setup is not None
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Run.create(folder, cell.setup.recipe, command)
    describe(made, cell.setup)
    trainer = Trainer(made, cell.setup, save_seconds=1e9, started=time.monotonic())
    try:
        with closing(trainer.reports()) as reports:  # type: ignore[type-var]
            yield from reports
    except UserError:
        if not made.has("result") or made.read("result")["status"] != "diverged":
            raise
        cell.log["diverged"] = cell.steps


def write_results(
    folder: Path, experiment: Experiment, results: Results, findings: Findings
) -> None:
    """Store what an experiment came to: what the report and the explorer read."""
    write_json(
        folder / RESULTS,
        {
            "format": FORMAT,
            "name": results.name,
            "title": experiment.title,
            "expected": experiment.expected,
            "claims": list(experiment.claims),
            "setting": dict(results.setting),
            "cells": {
                arm: {str(seed): values for seed, values in found.items()}
                for arm, found in results.cells.items()
            },
            "findings": findings.to_dict(),
        },
    )


def read_results(path: Path) -> tuple[Results, dict[str, Any]]:
    """The results in a file, and all that the file holds. Raises UserError for another format."""
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); it is no experiment's results"
        ) from error
    require(values.get("format") == FORMAT, f"{path} is of another format than this Fathom's")
    cells = {
        arm: {int(seed): found for seed, found in seeds.items()}
        for arm, seeds in values["cells"].items()
    }
    return Results(values["name"], cells, values["setting"]), values
