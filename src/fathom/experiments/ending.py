"""The errors that trained networks end with: measured for a cell, and drawn for all arms."""

from __future__ import annotations

from collections.abc import Mapping

from fathom.experiments.bands import point
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Results, Values
from fathom.figures.charts import Axis, PointChart

JUDGES = {"test": "test", "val": "validation"}


def end_errors(cell: Cell) -> Values:
    """Errors (fractions) on the images that trained and on those that judge, in evaluation mode."""
    return {
        "train_error": 1 - cell.evaluation("train").top1,
        "test_error": 1 - cell.evaluation().top1,
    }


def error_chart(results: Results) -> PointChart:
    """Both errors of every arm, from the values of `end_errors`."""
    groups = {"training": "train_error", JUDGES[results.setting["judge"]]: "test_error"}
    return percent_chart(results, "Error at the end of training", "Error (%)", groups)


def percent_chart(results: Results, title: str, axis: str, groups: Mapping[str, str]) -> PointChart:
    """Fractions of every arm in percent, with intervals over seeds: groups are keys by name."""
    return PointChart(
        title,
        results.arms,
        Axis(axis),
        {
            name: [point(results.spread(arm, key), 100) for arm in results.arms]
            for name, key in groups.items()
        },
        f"{results.caption} Mean and 95 % interval.",
    )
