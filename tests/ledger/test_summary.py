"""The closing table, and the frontier."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fathom.ledger import Row, claims, summary
from fathom.models.cards import Published

POINTS = st.lists(
    st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=25, unique=True
)


def row(name: str) -> Row:
    return claims(name)[0]


def points(pairs: Sequence[tuple[int, int]]) -> list[summary._Point]:
    figure = Published(0.5, None, "", "")
    return [summary._Point(f"{m}/{a}", m, float(a), figure) for m, a in pairs]


def test_three_counts_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("summary.params")
    assert found.verdict == "wrong"
    assert found.computed["wrong"] == ["googlenet", "mobilenetv1", "mobilenetv2"]
    for name, right in (("googlenet", 7e6), ("mobilenetv1", 4.2e6), ("mobilenetv2", 3.5e6)):
        monkeypatch.setitem(summary._PARAMS, name, right)
    assert row("summary.params").verdict == "ambiguous"  # AlexNet without its towers


def test_two_accuracies_are_of_other_things(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("summary.top1")
    assert found.verdict == "wrong"
    assert found.computed["years agree"] is True
    monkeypatch.setitem(summary._TOP1, "alexnet", 59.3)
    assert row("summary.top1").verdict == "wrong"
    monkeypatch.setitem(summary._TOP1, "googlenet", 69.8)
    assert row("summary.top1").verdict == "rounded"


@given(POINTS)
def test_the_frontier_is_what_no_other_point_beats(pairs: list[tuple[int, int]]) -> None:
    """By the definition, point by point."""
    literal = {
        (macs, top1)
        for macs, top1 in pairs
        if not any(m <= macs and a >= top1 and (m, a) != (macs, top1) for m, a in pairs)
    }
    assert {(p.macs, int(p.top1)) for p in summary.frontier(points(pairs))} == literal


def test_points_are_single_views_at_the_size_that_was_counted() -> None:
    found = summary._points()
    protocols = {p.figure.protocol for p in found}
    for word in ("10", "144", "dense", "whole", "22k", "CIFAR", "not stated", "288"):
        assert not any(word in protocol for protocol in protocols), word
    assert {"mobilenet_v1", "mobilenet_v2", "resnet50", "efficientnet_b7"} <= {
        p.name for p in found
    }


def test_the_cheap_end_of_the_frontier_is_another_network() -> None:
    found = row("pareto")
    assert found.verdict == "ambiguous"
    for front in found.computed["macs and top-1"].values():
        first, *others = front
        assert first == "mobilenet_v2"
        assert all(name.startswith(("efficientnet", "convnext")) for name in others)
