"""Runs of several seeds as lines with bands and as points with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, geometric_mean

from fathom.figures.charts import Point, Series
from fathom.spread import Spread


def band(
    name: str, x: Sequence[float], runs: Sequence[Sequence[float]], *, log: bool = False
) -> Series:
    """One run a seed, each a value for every x -> the mean over the seeds, and their range.

    log takes the geometric mean, for an axis of powers of ten.
    """
    mean = geometric_mean if log else fmean
    columns = list(zip(*runs, strict=True))
    return Series(
        name,
        x,
        [mean(column) for column in columns],
        [min(column) for column in columns],
        [max(column) for column in columns],
    )


def point(found: Spread, factor: float = 1.0) -> Point:
    """The mean and its interval, all times a factor."""
    low, high = (None if side is None else factor * side for side in (found.low, found.high))
    return Point(factor * found.mean, low, high)
