"""The page of gradients: every number is that of the pass, and sentences follow the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import pytest

from fathom.experiments.flow import Flow
from fathom.experiments.fresh import ACTIVATIONS, Fresh
from fathom.experiments.initialisation import DEVIATIONS
from fathom.explorer.pages import gradient_flow
from fathom.explorer.pages.gradient_flow import (
    RATE,
    draw_found,
    draw_four,
    draw_gradient,
    draw_paths,
    draw_scale,
    number,
    page,
    percent,
    whole,
)
from fathom.explorer.passes import passed, walked
from fathom.explorer.shell import drawn
from fathom.layers import NORMS
from fathom.ledger.recorded import recorded
from fathom.recipes.residual import cifar_resnet_2015
from fathom.training.choices import SGD
from tests.experiments.scaffold import CIFAR
from tests.explorer.reading import components, figure_of, text_of

SMALL: dict[str, Any] = {
    "depth": "8",
    "skip": False,
    "norm": "batch",
    "scheme": "Kaiming",
    "activation": "relu",
    "seed": 0,
}
DEEP = {**SMALL, "depth": "56"}
ON_PATHS = {name: value for name, value in SMALL.items() if name != "skip"}


def lines(found: Any, name: str) -> dict[str, list[float]]:
    """What is drawn, by the name of its line."""
    figure = figure_of(found, f"gradient-flow-{name}-graph")
    return {trace.name: list(trace.y) for trace in figure.data}


@pytest.mark.parametrize("skip", [False, True])
def test_both_twins_are_drawn_as_measured_the_chosen_one_first(skip: bool) -> None:
    values = SMALL | {"skip": skip}
    plain, residual = (passed(Fresh(8, kind), 0).flow for kind in (False, True))
    for draw, name in ((draw_gradient, "gradient"), (draw_scale, "scale")):
        found = lines(draw(**values), name)
        for line, flow in (("plain, batch norm", plain), ("residual, batch norm", residual)):
            # Behind the stem and each of three blocks; a block's first activation is within it.
            scales = [flow.activations[place] for place in (0, 2, 4, 6)]
            wanted = flow.gradients if name == "gradient" else scales
            assert found[line] == pytest.approx(wanted)
        assert len(found) == 2
        assert next(iter(found)).startswith("residual" if skip else "plain")
        axis = figure_of(draw(**values), f"gradient-flow-{name}-graph").layout.yaxis
        assert axis.type == "log"


def test_the_first_and_the_last_layer_are_told_in_numbers() -> None:
    flow = passed(Fresh(56, False), 0).flow
    first, last = flow.gradients[0], flow.gradients[-1]
    said = text_of(draw_gradient(**DEEP))
    assert f"has a norm of {number(first)}, the last one's {number(last)}" in said
    assert f"it grows {number(first / last)} times on its way back" in said
    assert f"by {percent(flow.moved(RATE)[0])} of its weights' norm" in said
    assert f"the last one by {percent(flow.moved(RATE)[-1])}" in said
    assert "16 digits of 8 x 8 pixels" in said
    assert "weights of seed 0" in said


def test_the_rate_is_that_of_the_recipe() -> None:
    optimizer = cifar_resnet_2015(CIFAR).optimizer
    assert isinstance(optimizer, SGD)
    assert optimizer.lr == RATE


def test_four_networks_in_a_table_the_chosen_one_in_bold() -> None:
    found = draw_four(**SMALL | {"skip": True})
    said = text_of(found)
    for residual in (False, True):
        for norm in ("none", "batch"):
            flow = passed(Fresh(8, residual, norm), 0).flow
            first, last = flow.gradients[0], flow.gradients[-1]
            cells = [number(first), number(last), number(first / last)]
            assert " ".join([*cells, percent(flow.moved(RATE)[0])]) in said
    bold = [c.children for c in components(found) if type(c).__name__ == "Strong"]
    assert bold[0] == "residual, batch norm"
    assert len(bold) == 5
    assert "plain, group norm" in text_of(draw_four(**SMALL | {"norm": "group"}))


def test_why_a_plain_network_of_56_layers_does_not_train() -> None:
    """Batch norm keeps the gradient from vanishing; without it, it is too small everywhere."""
    said = text_of(draw_four(**DEEP))
    assert "Plain, no norm: the gradient is too small from end to end" in said
    assert "Plain, batch norm: the gradient explodes: it grows" in said
    assert (
        "So it is no vanishing gradient that would stop the plain network with batch norm." in said
    )
    assert "Yang et al. 2019" in said
    assert "Residual, batch norm: a first step moves the first layer by" in said
    squashed = text_of(draw_four(**DEEP | {"activation": "sigmoid"}))
    assert "the gradient vanishes: it becomes" in squashed
    assert "So with batch norm, too, the gradient vanishes" in squashed


def made_up(first: float, last: float) -> Flow:
    """Weights of norm 1, so that a step moves them by a tenth of their gradient."""
    return Flow((first, last), (1.0, 1.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("first", "last", "said"),
    [
        (1e-4, 1e-4, "is too small from end to end; a first step leaves the first layer where"),
        (1e-4, 9e-4, "is too small from end to end"),
        (1e-4, 1.0, "vanishes: it becomes 10,000 times smaller on its way back; a first step leav"),
        (1.0, 1.0, "moves the first layer by 10.0 % of its weights' norm, which is a step one can"),
        (200.0, 1.0, "explodes: it grows 200 times on its way back; a first step throws the first"),
        (200.0, 100.0, "is too large from end to end; a first step throws the first layer away"),
        (200.0, 1e4, "is too large from end to end"),
    ],
)
def test_fates_follow_from_the_numbers(first: float, last: float, said: str) -> None:
    assert said in gradient_flow._fate(made_up(first, last))


def test_answers_follow_from_the_numbers() -> None:
    answer = gradient_flow._answer
    assert answer(made_up(1, 100), "group").startswith("So with group norm, too, the gradient van")
    assert answer(made_up(1, 1), "layer") == (
        "So it is no vanishing gradient that would stop the plain network with layer norm."
    )
    assert "Yang" not in answer(made_up(1, 1), "batch")
    assert "Yang" in answer(made_up(100, 1), "batch")


def test_the_scales_at_both_ends_are_told_in_numbers() -> None:
    scales = passed(Fresh(8, False), 0).flow.activations
    told = f"is {number(scales[0])} behind the stem and {number(scales[-1])} behind the last block"
    assert told in text_of(draw_scale(**SMALL))


def test_what_is_left_of_the_picture_follows_from_the_scale() -> None:
    def left(last: float, norm: str) -> str:
        return gradient_flow._left(Fresh(8, False, norm), Flow((1.0,), (1.0,), (1.0, last)))

    assert "Hardly anything of the picture" in left(1e-4, "none")
    assert "are huge" in left(1e4, "none")
    assert "no norm sets the scale" in left(1.0, "none")
    assert "no norm sets the scale" in left(1.0, "response")
    assert "norms set the scale anew" in left(1.0, "batch")


def test_remarks_stand_where_they_are_true() -> None:
    remarks = gradient_flow._remarks
    assert "height of the line" in remarks(Fresh(8, False, "none"))[0]
    assert "squashed" in remarks(Fresh(8, True, "batch", "Kaiming", "tanh"))[0]
    assert remarks(Fresh(8, False, "batch")) == remarks(Fresh(8, True, "none")) == []


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_paths_are_counted_and_their_gradient_is_shared_out(norm: str) -> None:
    values = ON_PATHS | {"depth": "20", "norm": norm}
    drawn_shares = lines(draw_paths(**values), "paths")
    counted = [100 * math.comb(9, length) / 512 for length in range(10)]
    found = walked(Fresh(20, True, norm), 0).shares
    assert drawn_shares["of the paths"] == pytest.approx(counted)
    assert drawn_shares["of the gradient"] == pytest.approx([100 * share for share in found])
    assert sum(drawn_shares["of the gradient"]) == pytest.approx(100)
    said = text_of(draw_paths(**values))
    mean = sum(length * share for length, share in enumerate(found))
    assert "9 blocks with shortcuts are 2^9 = 512 paths" in said
    assert "they go through 4.5 blocks; weighted by the gradient that comes along" in said
    assert f"through {mean:.1f}." in said
    assert f"bring the most of it, {100 * max(found):.1f} %" in said


def test_what_the_gradient_favours() -> None:
    shift = gradient_flow._shift
    assert "short paths" in shift(3.0, 4.5)
    assert "long paths" in shift(6.0, 4.5)
    assert "neither" in shift(4.2, 4.5)


def test_recorded_experiments_are_told_and_linked() -> None:
    said = text_of(draw_found())
    for name in ("degradation", "gradient-flow", "initialisation"):
        found = recorded(name)
        none = [f"No run of {name} is recorded yet."]
        for sentence in found["findings"]["sentences"] if found else none:
            assert sentence in said
    links = [getattr(part, "href", "") for part in components(draw_found())]
    assert "/experiments?experiment=degradation" in links


def options() -> list[dict[str, Any]]:
    """Each value of each control, the others as they are."""
    choices: dict[str, Iterable[Any]] = {
        "depth": ["8", "20"],
        "skip": [False, True],
        "norm": NORMS,
        "scheme": DEVIATIONS,
        "activation": ACTIVATIONS,
        "seed": [0, 7],
    }
    return [SMALL | {name: value} for name, values in choices.items() for value in values]


@pytest.mark.parametrize("values", options(), ids=str)
def test_every_option_draws_every_card(values: dict[str, Any]) -> None:
    for card in page().cards:
        assert "could not be drawn" not in text_of(drawn(card, values))


@pytest.mark.parametrize(
    "values",
    [{"norm": "none", "scheme": s, "activation": a} for s, a in
     (("too large", "gelu"), ("Xavier", "sigmoid"))],
    ids=str,
)  # fmt: skip
def test_the_deepest_networks_draw_even_without_norms(values: dict[str, Any]) -> None:
    found = lines(draw_gradient(**SMALL | {"depth": "152"} | values), "gradient")
    assert all(len(line) == 151 and min(line) > 0 for line in found.values())
    assert all(math.isfinite(value) for line in found.values() for value in line)


@pytest.mark.parametrize(
    ("name", "value"),
    [("depth", "20"), ("norm", "none"), ("scheme", "too small"), ("activation", "tanh"),
     ("seed", 1), ("skip", True)],
)  # fmt: skip
def test_each_control_changes_what_it_should(name: str, value: Any) -> None:
    changed = SMALL | {name: value}
    for draw, card in ((draw_gradient, "gradient"), (draw_scale, "scale")):
        before, after = lines(draw(**SMALL), card), lines(draw(**changed), card)
        assert list(before.items()) != list(after.items())
    if name != "skip":
        values = {key: v for key, v in changed.items() if key != "skip"}
        assert lines(draw_paths(**ON_PATHS), "paths") != lines(draw_paths(**values), "paths")


def test_the_page_opens_with_the_network_of_the_question() -> None:
    found = page()
    assert found.read("") == DEEP
    asked = "?depth=152&skip=on&norm=none&scheme=too+small&activation=tanh&seed=4"
    values = found.read(asked)
    wanted = {"skip": True, "norm": "none", "scheme": "too small", "activation": "tanh", "seed": 4}
    assert values == {"depth": "152", **wanted}
    assert found.read(found.write(values)) == values
    assert found.read("?depth=57&norm=bach&scheme=x&activation=elu&seed=-1") == DEEP


def test_numbers_have_few_digits_and_far_ones_a_power_of_ten() -> None:
    assert [number(v) for v in (0, 620.4, 0.00123, 1234.5, 99.96)] == [
        "0", "620", "0.00123", "1,234", "100.0"
    ]  # fmt: skip
    far = [number(v).replace("\N{NO-BREAK SPACE}", " ") for v in (1.34e-5, 2.7e35)]
    assert far == ["1.3 × 10⁻⁵", "2.7 × 10³⁵"]
    assert percent(0.0707) == "7.07 %"
    assert [whole(2**27), whole(2**75)] == ["134,217,728", number(2.0**75)]
    for low, high in pairwise(10.0**power for power in range(-12, 12)):
        assert number(low) != number(high)
