"""Budgets, orders and frontiers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fathom
from fathom.errors import UserError
from fathom.models.cards import Published
from fathom.models.choose import Choice, choose, frontier, parse_count, parse_seconds

CARD = fathom.model_card("resnet18")


def network(top1: float | None, macs: int, seconds: float | None = None) -> Choice:
    figures = (
        ()
        if top1 is None
        else (Published(top1, None, "ImageNet, centre crop 224, short side 256", "a test"),)
    )
    return Choice(replace(CARD, macs=macs, published=figures), seconds)


@pytest.mark.parametrize(
    ("text", "value"), [("5M", 5e6), ("4.1G", 4.1e9), ("250k", 250e3), ("17", 17), ("2 B", 2e9)]
)
def test_counts(text: str, value: float) -> None:
    assert parse_count(text, "--max-params") == pytest.approx(value)


def test_seconds() -> None:
    assert parse_seconds("20ms", "--max-latency") == pytest.approx(0.02)
    assert parse_seconds("0.5s", "--max-latency") == 0.5


@pytest.mark.parametrize("text", ["", "M", "5 apples", "-3M", "1e6", "5T"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"--max-params is .* write it like 5M"):
        parse_count(text, "--max-params")


def test_limits_leave_out_what_costs_more_or_is_unknown() -> None:
    cheap, dear, unknown = network(0.7, 10, 0.01), network(0.8, 20, 0.02), network(0.9, 5)
    found = [cheap, dear, unknown]
    assert choose(found, {"macs": 10}) == [cheap, unknown]
    assert choose(found, {"latency": 0.02}) == [cheap, dear]
    assert choose(found, {}, sort="top1") == [unknown, dear, cheap]
    assert choose(found, {}, sort="latency") == [cheap, dear, unknown]
    assert choose(found, {}) == found
    with pytest.raises(UserError, match="--sort 'size' is none of story"):
        choose(found, {}, sort="size")


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.integers(1, 9)), st.integers(1, 9)),
        min_size=1,
        max_size=9,
    )
)
def test_the_frontier_is_what_nobody_beats(rows: list[tuple[int | None, int]]) -> None:
    found = frontier([network(t and t / 10, cost) for t, cost in rows], "macs")
    for choice in found:
        rivals = [c for c in found if c.top1 is not None and c is not choice]
        beaten = any(
            r.top1 >= (choice.top1 or 0)
            and r.card.macs <= choice.card.macs
            and (r.top1, r.card.macs) != (choice.top1, choice.card.macs)
            for r in rivals
            if r.top1 is not None
        )
        assert choice.frontier == (choice.top1 is not None and not beaten)


def test_an_unknown_axis_is_refused() -> None:
    with pytest.raises(UserError, match="--pareto 'size' is none of params"):
        frontier([network(0.5, 3)], "size")
