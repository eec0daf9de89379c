"""What there is to see of networks: every number is the card's, or counted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fathom
from fathom.figures.networks import ACROSS, chart, dot_of, frontier, looks, published
from fathom.figures.zoo import Dot

PLACES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12)


@settings(deadline=None, derandomize=True, database=None)
@given(PLACES)
def test_the_frontier_holds_what_none_beats(places: list[tuple[int, int]]) -> None:
    dots = [Dot(str(n), "f", x, y, "") for n, (x, y) in enumerate(places)]
    unbeaten = {
        (x, y)
        for x, y in places
        if not any((a <= x and b > y) or (a < x and b >= y) for a, b in places)
    }
    found = [(dot.x, dot.y) for dot in frontier(dots)]
    assert found == sorted(unbeaten)


@pytest.mark.parametrize("axis", ["params", "macs", "flops", "year"])
def test_a_dot_stands_where_its_card_says(axis: str) -> None:
    card = fathom.model_card("resnet50")
    dot = dot_of(card, axis, "top1", across=getattr(card, axis))
    assert dot is not None
    assert card.comparable is not None
    assert dot.x * ACROSS[axis].unit == pytest.approx(getattr(card, axis))
    assert dot.y == pytest.approx(100 * (card.comparable.top1 or 0))
    assert f"{dot.y:.2f} %" in dot.says
    assert dot_of(card, axis, "top1", across=None) is None
    assert dot_of(fathom.model_card("cifar_resnet20"), axis, "top1", across=1.0) is None


def test_no_two_families_look_alike() -> None:
    cards = [fathom.model_card(name) for name in fathom.list_models()]
    dots = [dot for card in cards if (dot := dot_of(card, "macs", "top1", across=card.macs))]
    families = {dot.family for dot in dots}
    traces = [trace for trace in chart(dots, "macs", "top1").data if trace.name in families]
    assert len(traces) == len(families)
    assert len({(trace.marker.color, trace.marker.symbol) for trace in traces}) == len(families)


def test_what_is_said_of_vgg_is_counted() -> None:
    model, card = fathom.create_model("vgg16"), fathom.model_card("vgg16")
    stages, costs, field = looks("vgg16")
    first, last = card.stages[0], card.stages[-1]
    assert stages.words == (
        f"From {first.size} x {first.size} pixels with {first.channels} channels to "
        f"{last.size} x {last.size} with {last.channels}."
    )
    heavy = model.get_submodule(costs.words.split()[0])
    own = sum(p.numel() for p in heavy.parameters())
    whole = sum(p.numel() for p in model.parameters())
    assert own == max(sum(p.numel() for p in m.parameters(recurse=False)) for m in model.modules())
    assert f"has {100 * own / whole:.1f} % of all parameters" in costs.words
    layer = int(field.words.split()[2])
    sizes = field.figure.data[0].y
    assert sizes[layer - 1] >= card.image_size > max(sizes[: layer - 1])


def test_published_figures_have_their_protocol() -> None:
    card = fathom.model_card("resnet50")
    assert card.headline is not None
    assert card.headline.protocol in published(card)
