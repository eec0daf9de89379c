"""What a few runs tell: means, their 95 % intervals, and differences in pairs. Free of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


@dataclass(frozen=True)
class Spread:
    """The mean of several values and its 95 % interval by Student's t.

    low, high and sd are None for a single value, which has no spread.
    """

    mean: float
    low: float | None
    high: float | None
    sd: float | None
    count: int

    def apart_from(self, other: Spread) -> bool:
        """Whether the two intervals do not overlap; False where one of them has none."""
        if self.low is None or self.high is None or other.low is None or other.high is None:
            return False
        return self.low > other.high or self.high < other.low


def spread(values: Sequence[float]) -> Spread:
    """Mean and 95 % interval of one or more values."""
    mean, count = fmean(values), len(values)
    if count == 1:
        return Spread(mean, None, None, None, 1)
    sd = stdev(values)
    half = student_t(count - 1) * sd / count**0.5
    return Spread(mean, mean - half, mean + half, sd, count)


def paired(ones: Sequence[float], others: Sequence[float]) -> Spread:
    """The spread of one - other, value by value: of two arms whose runs share their seeds."""
    return spread([one - other for one, other in zip(ones, others, strict=True)])


def student_t(freedom: int) -> float:
    """The 97.5 % quantile of Student's t with so many degrees of freedom: 4.303 with 2."""
    from scipy.stats import t  # type: ignore[import-untyped]

    return float(t.ppf(0.975, freedom))
