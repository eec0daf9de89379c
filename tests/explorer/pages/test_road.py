"""The road: every number is the paper's or counted in the network of the step."""

from __future__ import annotations

import pytest
import torch
from dash import html
from torch import nn

import fathom
from fathom.costs import cost
from fathom.costs.step_memory import STEP_BYTES
from fathom.explorer.pages import road
from fathom.explorer.pages.road import CARDS, clicked, draw_all, draw_along, draw_step, page
from tests.explorer.reading import figure_of, text_of

# Liu et al. 2022, arXiv:2201.03545, Table 10: top-1 of ResNet-50 and of each step after it.
TABLE_10 = (78.82, 79.36, 79.51, 78.28, 80.50, 80.64, 79.92, 80.57, 80.62, 81.27, 81.41, 81.47,
            81.97)  # fmt: skip


@pytest.mark.parametrize("step", range(13))
def test_every_step_is_drawn_and_said_with_the_papers_numbers(step: int) -> None:
    found = draw_along(step)
    accuracy, costs = figure_of(found, "road-along-graph").data
    assert list(accuracy.y) == pytest.approx(TABLE_10)
    assert list(costs.y) == [card.macs / 1e9 for card in CARDS]
    assert list(accuracy.customdata) == list(costs.customdata) == list(range(13))
    assert [n for n, size in enumerate(accuracy.marker.size) if size == 16] == [step]
    said = text_of(found)
    if step:
        assert f"{TABLE_10[step] - TABLE_10[step - 1]:+.2f} points" in said
        assert f"Since the start {TABLE_10[step] - TABLE_10[0]:+.2f} points" in said
    told = text_of(draw_step(step))
    for number in {max(0, step - 1), step}:
        assert f"{TABLE_10[number]:.2f} %" in told
        assert f"{CARDS[number].macs:,}" in told
        assert f"{STEP_BYTES[CARDS[number].name] / 2**30:.2f} GiB" in told


@pytest.mark.parametrize("step", [0, 7, 12])
def test_what_is_counted_is_in_the_network(step: int) -> None:
    card = CARDS[step]
    with torch.device("meta"):
        model = fathom.create_model(card.name)
    found, told = cost(model, image_size=card.image_size), text_of(draw_step(step))
    kinds = [type(module).__name__ for module in model.modules()]
    assert found.receptive_field is not None
    for number in (
        f"{found.params:,}",
        f"{found.macs:,}",
        f"{found.receptive_field.size[0]:,} pixels",
        f"{kinds.count('Conv2d')}, {depthwise(model)} of them depthwise",
        f"{kinds.count('ReLU') + kinds.count('GELU')} {'GELU' if step == 12 else 'ReLU'}",
        f"{kinds.count('BatchNorm2d')} batch norm"
        if step < 12
        else f"{kinds.count('LayerNorm2d') + kinds.count('LayerNorm')} layer norm",
    ):
        assert number in told, number


def depthwise(model: nn.Module) -> int:
    return sum(
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for module in model.modules()
    )


def test_what_a_step_leaves_alone_does_not_stand_out() -> None:
    rows = {row[0]: row for row in (road._row(t, c) for t, *c in road.rows_of(CARDS[7:9]))}
    assert isinstance(rows["activations"][-1], html.Strong)
    for term in ("parameters", "multiply-adds", "norms", "receptive field"):
        assert isinstance(rows[term][-1], str), term


def test_the_dearest_gain_and_the_saving_are_told() -> None:
    assert "costs 47 % fewer multiply-adds" in text_of(draw_along(3))
    assert "costs as much as before" in text_of(draw_along(9))
    assert text_of(draw_along(0)).strip().startswith("The start: 78.82 %")


def test_all_steps_have_a_row() -> None:
    told = text_of(draw_all())
    for number, card in enumerate(CARDS):
        assert f"{number} {road.name_of(card)} {road.says(card)}" in told
        assert f"{card.macs / 1e9:.2f} {TABLE_10[number]:.2f}" in told


def test_a_click_moves_to_the_step_under_it() -> None:
    assert clicked({"customdata": 7}, 3) == 7
    assert [clicked({"customdata": other}, 3) for other in (13, -1, "x", None)] == [3] * 4
    assert clicked({}, 3) == 3


def test_the_address_names_the_step() -> None:
    assert page().read("?step=12")["step"] == 12
    assert page().read("?step=13")["step"] == page().read("?step=x")["step"] == 3


def test_no_card_has_the_name_of_a_control() -> None:
    names = [card.name for card in page().cards] + [c.name for c in page().controls]
    assert len(names) == len(set(names)), "they would share an id"
