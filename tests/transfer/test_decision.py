"""What is expected of the strategies, and which is chosen."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fathom.transfer.decision import FALL, Candidate, choose, expected_top1
from fathom.transfer.strategies import Strategy

STRATEGIES: tuple[Strategy, ...] = ("probe", "partial", "finetune", "scratch")


@settings(deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(FALL)), st.integers(1, 200), st.data())
def test_more_time_and_more_right_are_never_worse(
    strategy: Strategy, count: int, data: st.DataObject
) -> None:
    right = data.draw(st.integers(0, count))
    most = data.draw(st.integers(0, count))

    def at(left: float, named: int = right) -> float:
        return expected_top1(
            strategy, right=named, num_images=count, most=most, seconds=10, left=left
        )

    assert 0 < at(0) <= at(100) < 1
    assert right == count or at(100) < at(100, right + 1)


def test_the_error_falls_as_a_power_of_time() -> None:
    now = expected_top1("scratch", right=60, num_images=98, most=10, seconds=10, left=0)
    later = expected_top1("scratch", right=60, num_images=98, most=10, seconds=10, left=70)
    assert 1 - now == pytest.approx(39 / 100)
    assert 1 - later == pytest.approx(39 / 100 * 8 ** -FALL["scratch"])


def test_nothing_is_expected_of_who_only_names_the_most_frequent_class() -> None:
    """On skewed data all may name the same class; the cheapest is then chosen, not the fastest."""
    found = [
        Candidate(
            strategy,
            None,
            20,
            21,
            5.0,
            expected_top1(strategy, right=20, num_images=21, most=20, seconds=5, left=50),
        )
        for strategy in STRATEGIES
    ]
    assert len({c.expected for c in found}) == 1
    assert choose(found).strategy == "probe"
