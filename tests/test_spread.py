"""Means with intervals, and differences in pairs."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.spread import Spread, paired, spread, student_t

numbers = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=6)


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262)])
def test_students_quantiles_are_those_of_the_table(freedom: int, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=5e-4)


@settings(deadline=None, derandomize=True, database=None)
@given(numbers)
def test_an_interval_is_the_mean_and_t_standard_errors_around_it(values: list[float]) -> None:
    found = spread(values)
    assert found.low is not None
    assert found.high is not None
    half = student_t(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    assert (found.low + found.high) / 2 == pytest.approx(fmean(values), abs=1e-9)
    assert (found.high - found.low) / 2 == pytest.approx(half, abs=1e-9)


def test_one_value_has_no_interval_and_is_never_apart() -> None:
    one = spread([2.0])
    assert (one.low, one.high, one.sd) == (None, None, None)
    assert not one.apart_from(spread([5.0, 5.0]))


def test_intervals_are_apart_only_where_they_do_not_touch() -> None:
    low, high, across = (Spread(0, a, b, 1, 3) for a, b in ((0, 1), (2, 3), (0.5, 2.5)))
    assert low.apart_from(high)
    assert high.apart_from(low)
    assert not low.apart_from(across)
    assert not across.apart_from(high)


def test_differences_are_taken_value_by_value() -> None:
    assert paired([3.0, 5.0], [1.0, 3.0]) == Spread(2.0, 2.0, 2.0, 0.0, 2)
    with pytest.raises(ValueError, match="longer"):
        paired([1.0], [1.0, 2.0])
