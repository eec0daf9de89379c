"""The chart of networks, and one of them in full: every number is the card's, or counted."""

from __future__ import annotations

from typing import Any

import pytest

import fathom
from fathom.costs import cost
from fathom.costs.step_memory import BATCH
from fathom.explorer.pages import architectures
from fathom.explorer.pages.architectures import (
    add_clicked,
    draw_chart,
    draw_compared,
    draw_inside,
    page,
)
from tests.explorer.reading import figure_of, text_of

ANY = (architectures._ANY_PARAMS, architectures._ANY_MACS)


def points(found: Any) -> dict[str, tuple[float, float, bool]]:
    """x, y and whether it fits, by network."""
    figure = figure_of(found, "home-chart-graph")
    return {
        name: (x, y, trace.name != "over the limits")
        for trace in figure.data
        if trace.customdata is not None
        for name, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    }


@pytest.mark.parametrize(("axis", "unit"), [("params", 1e6), ("macs", 1e9), ("year", 1)])
def test_every_dot_stands_where_its_card_says(axis: str, unit: float) -> None:
    dots = points(draw_chart(axis, "top1", *ANY, ["resnet50"]))
    assert len(dots) > 40
    for name, (x, y, fits) in dots.items():
        card = fathom.model_card(name)
        assert card.comparable is not None
        assert x == pytest.approx(getattr(card, axis) / unit), name
        assert y == pytest.approx(100 * (card.comparable.top1 or 0)), name
        assert fits


def test_which_network_under_five_million_parameters_is_most_accurate() -> None:
    dots = points(draw_chart("params", "top1", 6.7, ANY[1], []))
    most = 10**6.7 / 1e6
    inside = {name: y for name, (x, y, fits) in dots.items() if fits}
    assert {name for name, (x, _, _) in dots.items() if x <= most} == set(inside)
    best = max(inside, key=lambda name: inside[name])
    said = text_of(draw_chart("params", "top1", 6.7, ANY[1], []))
    assert f"The most accurate of them is {best}: {inside[best]:.2f} %." in said
    assert f"{len(inside)} of {len(dots)} networks fit." in said


def test_the_frontier_is_beaten_by_none_that_fits() -> None:
    found = draw_chart("macs", "top1", 7.3, ANY[1], [])
    (edge,) = (t for t in figure_of(found, "home-chart-graph").data if t.name == "frontier")
    inside = [(x, y) for x, y, fits in points(found).values() if fits]
    on = list(zip(edge.x, edge.y, strict=True))
    assert on == sorted(on)
    for x, y in on:
        assert not any((a <= x and b > y) or (a < x and b >= y) for a, b in inside)


def test_training_memory_is_that_of_a_step() -> None:
    dots = points(draw_chart("memory", "top1", *ANY, []))
    card = fathom.model_card("resnet18")
    found = cost(fathom.create_model("resnet18"), image_size=card.image_size, batch_size=BATCH)
    assert dots["resnet18"][0] == pytest.approx(found.training_bytes / 2**30)
    assert dots.keys() == points(draw_chart("macs", "top1", *ANY, [])).keys()
    said = text_of(draw_compared(["resnet18"]))
    assert f"{BATCH} images" in said
    assert f"{found.training_bytes / 2**20:,.1f} MiB" in said


def test_without_a_measured_latency_it_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "remembered", lambda runtime: {})
    assert "fathom models --sort latency" in text_of(draw_chart("latency", "top1", *ANY, []))
    monkeypatch.setattr(architectures, "remembered", lambda runtime: {"resnet50": 0.025})
    found = draw_chart("latency", "top1", *ANY, [])
    assert points(found)["resnet50"][0] == pytest.approx(25.0)
    assert f"{len(fathom.list_models()) - 1} more networks have not been timed" in text_of(found)
    assert "not been timed" not in text_of(draw_chart("macs", "top1", *ANY, []))


def test_networks_side_by_side_have_their_own_numbers() -> None:
    names = ["resnet18", "vgg16"]
    said = text_of(draw_compared(names))
    for name in names:
        card = fathom.model_card(name)
        found = cost(fathom.create_model(name), image_size=card.image_size)
        assert found.receptive_field is not None
        for number in (
            f"{card.params:,}",
            f"{card.macs:,}",
            f"{card.flops:,}",
            f"{found.training_bytes / 2**20:,.1f} MiB",
            f"{found.receptive_field.size[0]:,} pixels",
        ):
            assert number in said, (name, number)


def test_vgg_keeps_its_parameters_in_the_first_linear_layer() -> None:
    found = draw_inside(["resnet18", "vgg16"])
    model = fathom.create_model("vgg16")
    heaviest = max(p.numel() for p in model.parameters())
    whole = sum(p.numel() for p in model.parameters())
    params, macs = figure_of(found, "home-costs").data
    assert max(value for _, value in params.customdata) == pytest.approx(heaviest, rel=1e-3)
    assert max(params.y) == pytest.approx(100 * heaviest / whole, rel=1e-3)
    assert sum(value for _, value in macs.customdata) == fathom.model_card("vgg16").macs
    assert f"{max(params.y):.1f} % of all parameters" in text_of(found)
    sizes, channels = figure_of(found, "home-stages").data
    card = fathom.model_card("vgg16")
    assert list(sizes.y) == [stage.size for stage in card.stages]
    assert list(channels.y) == [stage.channels for stage in card.stages]


def test_a_click_adds_takes_away_and_keeps_four() -> None:
    def click(name: str, kept: list[str]) -> list[str]:
        return add_clicked({"customdata": name}, kept)

    assert click("vgg16", ["resnet50"]) == ["resnet50", "vgg16"]
    assert click("resnet50", ["resnet50", "vgg16"]) == ["vgg16"]
    assert click("vgg16", ["a", "b", "c", "d"]) == ["b", "c", "d", "vgg16"]
    assert click("<script>", ["resnet50"]) == ["resnet50"]


def test_nothing_chosen_is_said() -> None:
    assert "Click a network" in text_of(draw_compared([]))
    assert "Click a network" in text_of(draw_inside([]))


def test_the_address_names_networks() -> None:
    assert page().read("?networks=vgg16,resnet18")["networks"] == ["vgg16", "resnet18"]
    assert page().read("?networks=vgg16,nonsense")["networks"] == ["resnet50"]
