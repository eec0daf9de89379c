"""The road, narrower and shallower: its costs, and what is said of its steps."""

from __future__ import annotations

import pytest
import torch

from fathom.costs import cost
from fathom.experiments.road import road, smaller
from fathom.models.registry import build_model
from fathom.models.variants.road import VARIANTS
from tests.experiments.scaffold import results, setting


def test_thirteen_networks_of_a_quarter_of_the_widths_and_a_third_of_the_blocks() -> None:
    arms = road(setting()).arms
    assert len(arms) == len(VARIANTS) == 13
    assert smaller(VARIANTS[0].spec)["depths"] == [1, 1, 2, 1]
    assert smaller(VARIANTS[12].spec)["depths"] == [1, 1, 3, 1]
    for arm, variant in zip(arms, VARIANTS, strict=True):
        assert arm.recipe is not None
        spec = arm.recipe.model.spec
        assert [4 * width for width in spec["widths"]] == list(variant.spec["widths"])


def test_the_ends_cost_about_the_same_and_all_take_the_smallest_images() -> None:
    macs = []
    for number in (0, 12):
        with torch.device("meta"):
            network = build_model(
                VARIANTS[number].card.name,
                num_classes=10,
                in_channels=1,
                **smaller(VARIANTS[number].spec),
            )
        assert network.min_size <= 32
        macs.append(cost(network, image_size=64).macs)
    assert macs[1] == pytest.approx(macs[0], rel=0.02)


@pytest.mark.parametrize(
    ("end", "says"),
    [(0.9, "Steps that are told"), (0.6, "overlap"), (0.3, "contradicts the paper")],
)
def test_what_is_said_of_the_ends(end: float, says: str) -> None:
    def runs(mean: float, paper: float) -> list[dict[str, float]]:
        shared = {"macs": 8e6, "params": 1e6, "train_top1": 1.0, "paper_top1": paper}
        return [{"top1": mean + each, **shared} for each in (-0.002, 0.0, 0.002)]

    cells = {"0 resnet50": runs(0.6, 0.7882), "7 kernel7": runs(0.6, 0.8057)}
    made = results({**cells, "12 downsample": runs(end, 0.8197)})
    found = road(setting()).findings(
        type(made)(made.name, made.cells, {**made.setting, "image_size": 64, "images": 1437})
    )
    text = " ".join(found.sentences)
    assert says in text
    assert "the paper has +3.1 points" in text
    assert ("No single step" in text) == (end == 0.6)
    assert not found.verdicts
