"""Means, ranges and intervals in charts."""

import math

import pytest

from fathom.experiments.bands import band, point
from fathom.spread import spread


def test_a_band_is_the_mean_and_the_range_of_the_seeds() -> None:
    drawn = band("one", [1, 2], [[1.0, 8.0], [4.0, 2.0]])
    assert (drawn.name, list(drawn.x)) == ("one", [1, 2])
    assert (drawn.y, drawn.low, drawn.high) == ([2.5, 5.0], [1.0, 2.0], [4.0, 8.0])


def test_on_an_axis_of_powers_the_mean_is_that_of_the_logarithms() -> None:
    drawn = band("one", [1], [[1e-8], [1e2]], log=True)
    assert math.log10(drawn.y[0]) == pytest.approx(-3)


def test_a_point_of_one_seed_has_no_interval() -> None:
    alone, several = point(spread([0.5]), 100), point(spread([0.0, 0.02]), 100)
    assert (alone.value, alone.low, alone.high) == (50, None, None)
    assert several.value == pytest.approx(1)
    assert several.low is not None
    assert several.high is not None
    assert several.value - several.low == pytest.approx(several.high - several.value)
