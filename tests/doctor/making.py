"""A made-up cause for tests of how people meet the doctor, whatever the checks of the day are."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed
from fathom.figures.charts import Axis, LineChart, Series

HIGH = 0.5  # a learning rate that the made-up check finds too high
CHART = LineChart(
    "Loss",
    Axis("Step"),
    Axis("Loss (nats)"),
    [Series("training", [1.0, 2.0], [2.5, 3.5])],
    "Loss of the batches.",
)
FINDING = Finding(
    "learning-rate-too-high",
    "The steps are <b>ten</b> times too long.",
    (Evidence("learning rate", 0.75, HIGH, above=True, source="made up"),),
    Remedy("Use a lower rate.", {"optimizer.lr": "0.0625"}, "optimizer = SGD(lr=0.0625)"),
    where=("stem.conv", "head.fc"),
    since=1,
    rejected=(Rejected("exploding-gradients", "their norm is 1.5"),),
    chart=CHART,
)


def check(seen: Observed) -> Finding | None:
    """The finding where the recipe's rate is too high, from the first step on."""
    recipe: dict[str, Any] = seen.task.recipe
    return FINDING if seen.curve.step and recipe["optimizer"]["lr"] > HIGH else None


def only_check(monkeypatch: pytest.MonkeyPatch, found: Any = check) -> None:
    """Let the doctor know no other check."""
    known = {FINDING.cause: found}
    module = import_module("fathom.doctor.diagnose")  # the function of this name hides it
    monkeypatch.setattr(module, "all_checks", lambda: known)
