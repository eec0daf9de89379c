"""Scaled networks: costs that are equal, and conclusions both ways."""

from collections.abc import Callable, Mapping

import pytest
import torch

from fathom.costs import cost
from fathom.data.summary import Summary
from fathom.experiments import Arm, Experiment, Setting
from fathom.experiments.equal_cost import cardinality, compound_scaling
from fathom.models.registry import build_model
from tests.experiments.scaffold import CIFAR, DIGITS, results, setting

LETTERS = Summary(60_000, 26, 28, 28, 1, False)


def macs(arm: Arm, data: Summary) -> int:
    assert arm.recipe is not None
    settings = arm.recipe.model
    with torch.device("meta"):
        model = build_model(
            settings.name, num_classes=data.num_classes, in_channels=data.channels, **settings.spec
        )
    return cost(model, image_size=arm.recipe.image_size, in_channels=data.channels).macs


def sentences(
    experiment: Callable[[Setting], Experiment], errors: Mapping[str, float]
) -> tuple[str, ...]:
    """Of made-up errors of some arms, 0.5 for the others, with three seeds close together."""
    made = experiment(setting(quick=experiment is compound_scaling))
    sizes = {"macs": 100, "params": 10, "image_size": 8}
    cells = {
        arm.name: [
            {**sizes, "train_error": 0.0, "test_error": errors.get(arm.name, 0.5) + shift}
            for shift in (-0.001, 0.0, 0.001)
        ]
        for arm in made.arms
    }
    return made.findings(results(cells)).sentences


@pytest.mark.parametrize("data", [DIGITS, CIFAR])
def test_the_costs_of_cardinality_agree(data: Summary) -> None:
    base, *others = (macs(arm, data) for arm in cardinality(setting(data)).arms)
    same, *doubled = (value / base for value in others)
    assert same == pytest.approx(1, rel=0.05)
    assert doubled == pytest.approx([2.0] * 3, rel=0.05)
    assert max(doubled) < 1.05 * min(doubled)


def test_the_depths_of_cardinality_are_those_of_its_docstring() -> None:
    layers = {}
    for arm in cardinality(setting()).arms:
        assert arm.recipe is not None
        layers[arm.name] = 3 * sum(arm.recipe.model.spec["depths"]) + 2
    assert layers["1 x 32d"] == 20
    assert layers["deeper"] == 41


@pytest.mark.parametrize("data", [DIGITS, LETTERS, CIFAR])
def test_the_costs_of_compound_scaling_agree(data: Summary) -> None:
    base, *others = compound_scaling(setting(data)).arms
    cheapest = macs(base, data)
    assert [macs(arm, data) / cheapest for arm in others] == pytest.approx([4.0] * 4, rel=0.05)


@pytest.mark.parametrize(("data", "sides"), [(DIGITS, (8, 16, 10)), (CIFAR, (16, 32, 20))])
def test_each_arm_scales_what_it_says(data: Summary, sides: tuple[int, int, int]) -> None:
    recipes = {arm.name: arm.recipe for arm in compound_scaling(setting(data)).arms}
    spec = {name: recipe.model.spec for name, recipe in recipes.items() if recipe}
    size = {name: recipe.image_size for name, recipe in recipes.items() if recipe}
    assert 2 * sum(spec["base"]["depths"]) + 2 == 14
    assert sum(spec["depth"]["depths"]) == 4 * sum(spec["base"]["depths"]) - 1
    assert spec["width"]["widths"] == [2 * width for width in spec["base"]["widths"]]
    assert spec["resolution"] == spec["base"]
    assert (size["base"], size["resolution"], size["all three"]) == sides
    together = spec["all three"]
    assert sum(together["depths"]) == 1.5 * sum(spec["base"]["depths"])
    assert spec["base"]["widths"][0] < together["widths"][0] < spec["width"]["widths"][0]


def test_more_paths_have_to_beat_both_others() -> None:
    assert "best use" in sentences(cardinality, {"30 x 4d": 0.3})[-1]
    unsure = sentences(cardinality, {"30 x 4d": 0.3, "wider": 0.3})
    assert "not shown" in unsure[-1]
    assert "overlap" in unsure[2]
    assert "overlap" not in unsure[1]
    contrary = sentences(cardinality, {"wider": 0.3})
    assert contrary[-1].startswith("This contradicts arXiv:1611.05431")
    assert contrary[-1].endswith("wider did better than 30 x 4d.")


def test_scaling_all_three_has_to_beat_each_alone() -> None:
    assert "best use" in sentences(compound_scaling, {"all three": 0.3})[-2]
    assert "not shown" in sentences(compound_scaling, {"all three": 0.3, "depth": 0.3})[-2]
    contrary = sentences(compound_scaling, {"width": 0.3, "resolution": 0.2})[-2]
    assert "contradicts" in contrary
    assert "width and resolution did better" in contrary
    told = sentences(compound_scaling, {"all three": 0.3})[0]
    assert "all three with 1.00 times the multiply-adds ends -20.0 points" in told
