"""A small experiment that really trains: two tiny networks on forty digits, for three steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fathom.experiments import (
    Arm,
    Experiment,
    Findings,
    Finished,
    Judged,
    Plan,
    Record,
    Results,
    Setting,
    make_setting,
)
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Values
from fathom.figures.charts import Axis, Point, PointChart
from fathom.training.reports import StepReport

LRS = {"slow": 0.01, "fast arm": 0.1}


def experiment(setting: Setting, lrs: dict[str, float] = LRS) -> Experiment:
    """Two learning rates on one network."""
    spec = {"depths": [1, 1, 1], "widths": [4, 4, 4]}
    arms = [
        Arm(name, comparing(setting, "cifar_resnet20", spec=spec, lr=lr, batch_size=16))
        for name, lr in lrs.items()
    ]
    return Experiment(
        "Which learns faster?", "The fast one.", arms, measure, findings, watch, ("a.claim",)
    )


def watch(cell: Cell, report: StepReport) -> None:
    """Gather the losses."""
    cell.log.setdefault("losses", []).append(report.loss)


def measure(cell: Cell) -> Values:
    """All that a resumed cell has to reach again."""
    return {
        "losses": cell.log["losses"],
        "weights": sum(float(p.detach().abs().sum()) for p in cell.model.parameters()),
        "error": 1 - cell.evaluation().top1,
        "diverged": cell.log.get("diverged"),
        "sound": True,
    }


def findings(results: Results) -> Findings:
    """The errors, told and drawn."""
    spreads = {arm: results.spread(arm, "error") for arm in results.arms}
    chart = PointChart(
        "Errors",
        results.arms,
        Axis("Error (%)"),
        {"error": [Point(100 * s.mean, s.low, s.high) for s in spreads.values()]},
        results.caption,
    )
    told = tuple(f"{arm}: {s.mean:.4f}." for arm, s in spreads.items())
    return Findings(told, (chart,), {"a.claim": Judged("not-reproduced", {"arms": 2}, "So few.")})


def plan(**changes: object) -> Plan:
    """Two seeds of three steps on forty digits."""
    planned = Plan("degradation", make_setting("digits", device="cpu"), (0, 1), None, 3, 40)
    return replace(planned, **changes)  # type: ignore[arg-type]


def install(patch: pytest.MonkeyPatch, lrs: dict[str, float] = LRS) -> None:
    """Let the session make the small experiment, whatever its name."""
    patch.setattr(
        "fathom.experiments.session.function_of", lambda name: lambda s: experiment(s, lrs)
    )


def last(records: list[Record]) -> Finished:
    """The end of a session."""
    assert isinstance(records[-1], Finished)
    return records[-1]


def cell_files(folder: Path) -> list[str]:
    """The names of the cells that are measured."""
    return sorted(path.name for path in (folder / "cells").glob("*.json"))
