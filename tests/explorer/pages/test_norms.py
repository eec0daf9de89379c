"""The norms side by side: counts and noise on the page are those of the modules."""

from __future__ import annotations

import pytest

from fathom import norm_lab
from fathom.explorer.pages.norms import BATCHES, NORMS, draw_blocks, draw_noise
from fathom.layers import norm_groups
from tests.explorer.reading import figure_of, text_of

LAYER, CHANNEL = "stages.1.1.branch.1", 7


@pytest.mark.parametrize("power", [0, 3, 8])
@pytest.mark.parametrize("groups", [1, 4, 16])
def test_counts_are_products_of_the_block(power: int, groups: int) -> None:
    size, (_, channels, *side) = 2**power, norm_lab.digits_into_norms()[LAYER].shape
    pixels, across = side[0] * side[1], channels // groups
    said = text_of(draw_blocks(LAYER, CHANNEL, power, str(groups)))
    images = "1 image" if size == 1 else f"{size} images"
    for words in (
        f"Batch norm  {size * pixels:,} numbers: {images} x 1 channel x",
        f"Layer norm  {channels * pixels:,} numbers: 1 image x {channels} channels x",
        f"Instance norm  {pixels:,} numbers: 1 image x 1 channel x",
        f"Group norm  {across * pixels:,} numbers: 1 image x {across} channels x",
    ):
        assert words in said
    assert f"networks of the zoo take {norm_groups(channels)} for {channels} channels" in said
    assert f"channel {CHANNEL} of image {min(2, size - 1)}." in said
    assert f"averages {channels} numbers: the channels of one pixel" in said


def test_each_norm_has_its_block() -> None:
    found = draw_blocks(LAYER, CHANNEL, 3, "8")
    coloured = {
        name: sum(len(t.x) for t in figure_of(found, f"norms-{name}").data[1:]) for name in NORMS
    }
    assert coloured["instance"] < coloured["group"] < coloured["batch"] < coloured["layer"]


def test_the_noise_is_that_of_the_modules() -> None:
    found = draw_noise(LAYER, CHANNEL, "8")
    maps = norm_lab.digits_into_norms()[LAYER]
    own = maps[:, CHANNEL]
    means = {t.name: t for t in figure_of(found, "norms-noise-means").data}
    gaps = {t.name: t for t in figure_of(found, "norms-noise-gaps").data}
    assert set(means) == set(gaps) == {f"{name} norm" for name in NORMS}
    noise = [norm_lab.noise_of_batches(own, size) for size in BATCHES]
    assert list(means["batch norm"].x) == BATCHES
    scatter = [spread / float(own.std()) for spread, _ in noise]
    assert list(means["batch norm"].y) == pytest.approx(scatter)
    assert list(gaps["batch norm"].y) == pytest.approx([gap for _, gap in noise])
    for name, groups in (("layer", 1), ("instance", 32), ("group", 8)):
        wanted = norm_lab.spread_of_image_means(maps, groups, CHANNEL) / float(own.std())
        assert list(means[f"{name} norm"].y) == pytest.approx([wanted] * len(BATCHES))
        assert set(gaps[f"{name} norm"].y) == {0}
        assert f"{wanted:.3f} with {name}" in text_of(found)
    said = text_of(found)
    for value in (scatter[0], scatter[-1], noise[1][1], noise[-1][1]):
        assert f"{value:.3f}" in said


def test_batch_norm_of_one_image_scatters_like_instance_norm() -> None:
    means = {
        t.name: t.y for t in figure_of(draw_noise(LAYER, CHANNEL, "8"), "norms-noise-means").data
    }
    assert means["batch norm"][0] == pytest.approx(means["instance norm"][0], rel=0.15)
    assert means["batch norm"][-1] < means["batch norm"][0] / 10
