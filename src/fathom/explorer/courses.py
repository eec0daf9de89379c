"""What the logs of runs say, one beside another: a line a run, by epoch, by step or by time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fathom.errors import require
from fathom.explorer.shell import graph, message
from fathom.figures.charts import Axis, LineChart, Series
from fathom.figures.draw import draw
from fathom.report.material import Material

_WIDE = 100  # from this ratio of its values on a loss has a logarithmic axis


@dataclass(frozen=True)
class Measure:
    """A field of the log's records: what it is called, its axis, by how much it is multiplied.

    by_step: it stands in the records of steps, not in those of epochs.
    """

    label: str
    axis: str
    field: str
    scale: float = 1.0
    digits: str = ".4f"
    by_step: bool = False


MEASURES: Mapping[str, Measure] = {
    "top1": Measure("Measured accuracy", "Top-1 accuracy (%)", "top1", 100.0, ".2f"),
    "loss": Measure("Measured loss", "Loss (nats)", "loss"),
    "train_top1": Measure("Training accuracy", "Top-1 accuracy (%)", "train_top1", 100.0, ".2f"),
    "train_loss": Measure("Training loss", "Loss (nats)", "train_loss"),
    "batch_loss": Measure("Loss of batches", "Batch loss (nats)", "loss", by_step=True),
    "lr": Measure("Learning rate", "Learning rate", "lr", digits=".3g", by_step=True),
    "speed": Measure(
        "Images a second", "Images a second", "images_per_second", digits=",.0f", by_step=True
    ),
}
ACROSS = {"epoch": "Epochs", "step": "Steps", "seconds": "Time"}
_TITLES = {"epoch": "Epoch", "step": "Step", "seconds": "Seconds since the start"}


def course(run: Material, measure: str, across: str) -> list[tuple[float, float]]:
    """(x, y) of one run: where it was, and what was measured there. Epochs count from 1, and their
    values stand at their end. What is no finite number is left out.

    Raises UserError for what is known of steps, by epochs.
    """
    asked = MEASURES[measure]
    require(
        not (asked.by_step and across == "epoch"),
        f"{asked.label.lower()}: the log has it by step; choose steps or time across",
    )
    first = 1 if across == "epoch" else 0
    return [
        (first + getattr(record, across), asked.scale * value)
        for record in (run.steps if asked.by_step else run.epochs)
        if (value := getattr(record, asked.field)) is not None and math.isfinite(value)
    ]


def draw_courses(
    identifier: str, runs: Sequence[Material], measure: str, across: str
) -> tuple[Any, list[str]]:
    """The chart of several runs, and a sentence on each: where it was first and is last."""
    asked = MEASURES[measure]
    found = {run.name: course(run, measure, across) for run in runs}
    series = [
        Series(name, [x for x, _ in points], [y for _, y in points])
        for name, points in found.items()
        if points
    ]
    if not series:
        return message("Nothing of this is in the logs yet."), []
    values = [y for line in series for y in line.y if y > 0]
    wide = "(nats)" in asked.axis and bool(values) and max(values) > _WIDE * min(values)
    y = Axis(asked.axis, "log" if wide else "linear")
    chart = LineChart(asked.label, Axis(_TITLES[across]), y, series, "", marked=True)
    figure = draw(chart).update_layout(uirevision=f"{measure} {across}", margin_t=12)
    unit = " %" if asked.scale != 1 else ""
    told = [_told(line, asked.digits, unit, _TITLES[across].lower()) for line in series]
    words = f"{asked.label}: {' '.join(told)}"
    return graph(identifier, figure, describes=words), told


def _told(line: Series, digits: str, unit: str, place: str) -> str:
    first, last = (f"{y:{digits}}{unit}" for y in (line.y[0], line.y[-1]))
    if len(line.y) == 1:
        return f"{line.name}: {first} at {place} {line.x[0]:,.4g}."
    return f"{line.name}: from {first} to {last}, at {place} {line.x[-1]:,.4g}."
