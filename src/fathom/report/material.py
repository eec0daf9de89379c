"""Everything that a report says, read from the files of a run folder and from nothing else.

Only recipe.json must be there: a run that goes on, was interrupted or has diverged lacks others.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from fathom.doctor.nouns import Finding
from fathom.doctor.record import FILE as DOCTOR
from fathom.errors import UserError
from fathom.evaluate import Evaluation
from fathom.training.recipe import Recipe
from fathom.training.reports import EpochReport, StepReport, Warned
from fathom.training.run import Run

_PNG = b"\x89PNG\r\n\x1a\n"
_MOST_POINTS = 1000  # steps that a figure draws

T = TypeVar("T", EpochReport, StepReport, Warned)

SPLITS = {"train": "training", "val": "validation", "test": "test"}


@dataclass(frozen=True)
class Picture:
    """An example image: a data URI, its width and height in pixels, and the path it came from."""

    uri: str
    width: int
    height: int
    path: str


@dataclass(frozen=True)
class Material:
    """One run. Files that are missing leave an empty mapping, or None."""

    folder: Path
    recipe: Recipe
    command: str | None
    data: Mapping[str, Any]
    environment: Mapping[str, Any]
    cost: Mapping[str, Any]
    weights: Mapping[str, Any]
    probe: Mapping[str, Any]
    result: Mapping[str, Any]
    evaluation: Evaluation | None
    examples: Mapping[str, Any]
    doctor: Mapping[str, Any]
    epochs: Sequence[EpochReport]
    steps: Sequence[StepReport]
    warnings: Sequence[Warned]

    @property
    def name(self) -> str:
        """The name of the run: of its folder."""
        return self.folder.resolve().name

    @property
    def data_name(self) -> str:
        """The name of the data, or where they came from."""
        source = self.recipe.data.source or self.recipe.data.train or "images"
        return str(self.data.get("name") or Path(source).name)

    @property
    def best_epoch(self) -> EpochReport | None:
        """The epoch whose weights are the best on the validation images so far."""
        chosen = [epoch for epoch in self.epochs if epoch.chosen]
        return chosen[-1] if chosen else None

    @property
    def kept_epoch(self) -> EpochReport | None:
        """The epoch whose weights are the result: the best or the last, as the recipe says."""
        if self.recipe.select == "best":
            return self.best_epoch
        return self.epochs[-1] if self.epochs else None

    @property
    def measured_epoch(self) -> EpochReport | None:
        """The last epoch after which anything was measured in evaluation mode."""
        measured = [epoch for epoch in self.epochs if epoch.top1 is not None]
        return measured[-1] if measured else None

    @property
    def findings(self) -> list[Finding] | None:
        """What the doctor found, as yet or at the end; None where no doctor attended the run."""
        if not self.doctor:
            return None
        return [Finding.from_dict(values) for values in self.doctor["findings"]]

    @property
    def last(self) -> EpochReport | StepReport | None:
        """The last record of the log."""
        ends: list[EpochReport | StepReport] = [*self.steps[-1:], *self.epochs[-1:]]
        return max(ends, key=lambda report: report.step, default=None)

    def picture(self, position: int) -> Picture | None:
        """The image at a position of the judging split; None where it is missing or no PNG."""
        example = self.examples.get(str(position), {})
        file = self.folder / "examples" / Path(str(example.get("file", "-"))).name
        try:
            data = file.read_bytes()
        except (OSError, ValueError):
            return None
        if not data.startswith(_PNG) or len(data) < 24:
            return None
        width, height = struct.unpack(">II", data[16:24])
        uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
        return Picture(uri, width, height, str(example.get("path", "")))


def read_values(path: Path) -> dict[str, Any]:
    """What a JSON file of a session of many runs holds. Raises UserError where it is not whole."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged ({error}); no report without it") from error
    assert isinstance(value, dict)
    return value


def read_run(folder: Path) -> Material:
    """Read a run folder. Raises UserError when it is missing, no run, or a file is damaged."""
    run = Run.open(folder)
    log = list(run.read_metrics())
    judged = _optional(run, "evaluation")
    return Material(
        folder=folder,
        recipe=run.recipe(),
        command=run.read("recipe").get("command"),
        data=_optional(run, "data"),
        environment=_optional(run, "environment"),
        cost=_optional(run, "cost"),
        weights=_optional(run, "weights"),
        probe=_optional(run, "probe"),
        result=_optional(run, "result"),
        evaluation=Evaluation.from_dict(judged["evaluation"]) if judged else None,
        examples=judged.get("examples", {}),
        doctor=_optional(run, DOCTOR),
        epochs=_records(EpochReport, "epoch", log),
        steps=_thinned(_records(StepReport, "step", log)),
        warnings=_records(Warned, "warning", log),
    )


def _optional(run: Run, name: str) -> dict[str, Any]:
    return run.read(name) if run.has(name) else {}


def _records(cls: type[T], kind: str, log: Sequence[Mapping[str, Any]]) -> list[T]:
    """The records of one kind as the dataclass that they were written from."""
    names = [field.name for field in fields(cls)]
    values: list[dict[str, Any]] = [{n: r.get(n) for n in names} for r in log if r["kind"] == kind]
    return [cls(**v) for v in values]


def _thinned(steps: list[StepReport]) -> list[StepReport]:
    """At most a thousand of them, evenly, the last one always among them."""
    stride = -(-len(steps) // _MOST_POINTS) or 1
    return steps[::-1][::stride][::-1]
