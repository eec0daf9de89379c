"""Colours against torchvision and the papers' formulas, image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as V
from torch import Tensor

from fathom.data.photometric import (
    IMAGENET_EIGENVALUES,
    IMAGENET_EIGENVECTORS,
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    colour_jitter,
    cutout,
    pca_lighting,
    principal_colours,
)
from fathom.errors import UserError

Change = Callable[..., Tensor]
PAIRS: list[tuple[Change, Change]] = [
    (adjust_brightness, V.adjust_brightness),
    (adjust_contrast, V.adjust_contrast),
    (adjust_saturation, V.adjust_saturation),
]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 6, channels: int = 3, height: int = 5, width: int = 7) -> Tensor:
    return torch.rand(count, channels, height, width, generator=seeded(count))


@pytest.mark.parametrize(("ours", "theirs"), PAIRS)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_image_is_changed_as_in_torchvision(
    ours: Change, theirs: Change, channels: int
) -> None:
    images, factors = batch(channels=channels), torch.tensor([0.0, 0.3, 0.9, 1.0, 1.4, 3.0])
    wanted = [theirs(image, factor.item()) for image, factor in zip(images, factors, strict=True)]
    torch.testing.assert_close(ours(images, factors), torch.stack(wanted), atol=1e-6, rtol=0)


@pytest.mark.parametrize("channels", [1, 3])
def test_hues_turn_as_in_torchvision(channels: int) -> None:
    images, turns = batch(channels=channels), torch.tensor([-0.5, -0.2, 0.0, 0.05, 0.3, 0.5])
    images[:, :, 0, 0] = 0.4  # gray: no hue at all
    images[:, 0, 0, 1] = images[:, -1, 0, 1]  # two channels alike
    wanted = [V.adjust_hue(image, turn.item()) for image, turn in zip(images, turns, strict=True)]
    torch.testing.assert_close(adjust_hue(images, turns), torch.stack(wanted), atol=1e-5, rtol=0)


def literal_jitter(images: Tensor, strengths: tuple[float, ...], hue: float, seed: int) -> Tensor:
    """torchvision's ColorJitter, one image after the other, for the same draws."""
    rng = seeded(seed)
    draws = torch.rand((4, len(images)), generator=rng)
    order = torch.rand((len(images), 4), generator=rng).argsort(1)
    changed = []
    for n, image in enumerate(images):
        for kind in order[n].tolist():
            draw = draws[kind, n].item()
            if kind == 3:
                image = V.adjust_hue(image, (2 * draw - 1) * hue)
                continue
            low, high = max(0.0, 1 - strengths[kind]), 1 + strengths[kind]
            image = PAIRS[kind][1](image, low + draw * (high - low))
        changed.append(image)
    return torch.stack(changed)


@pytest.mark.parametrize(
    ("strengths", "hue"), [((0.4, 0.4, 0.4), 0.0), ((0.5, 1.5, 0.2), 0.1), ((0.0, 0.0, 0.0), 0.5)]
)
def test_jitter_is_the_literal_one(strengths: tuple[float, float, float], hue: float) -> None:
    images = batch(24)
    before = images.clone()
    names = ("brightness", "contrast", "saturation")
    chosen = dict(zip(names, strengths, strict=True))
    found = colour_jitter(images, **chosen, hue=hue, rng=seeded(9))
    wanted = literal_jitter(images, strengths, hue, 9)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert torch.equal(images, before)


def test_nothing_asked_changes_nothing() -> None:
    images = batch()
    jitter = colour_jitter(images, brightness=0, contrast=0, saturation=0, rng=seeded(0))
    assert torch.equal(jitter, images)
    assert torch.equal(pca_lighting(images, std=0.0, rng=seeded(0)), images)


def test_each_image_has_a_draw_of_its_own() -> None:
    images = batch(1).expand(50, 3, 5, 7)
    for changed in (
        colour_jitter(images, rng=seeded(0)),
        pca_lighting(images, rng=seeded(0)),
        cutout(images, size=2, rng=seeded(0)),
    ):
        assert len(torch.unique(changed.flatten(1), dim=0)) > 20


def test_lighting_is_the_papers() -> None:
    """Krizhevsky et al. 2012, Section 4.1: add [p1 p2 p3][a1 l1, a2 l2, a3 l3]^T to each pixel."""
    images = batch(4)
    found = pca_lighting(images, std=0.1, rng=seeded(6))
    alphas = (0.1 * torch.randn((4, 3), generator=seeded(6))).numpy()
    for n in range(4):
        colour = np.zeros(3)
        for component in range(3):
            p = np.array([row[component] for row in IMAGENET_EIGENVECTORS])
            colour += p * alphas[n, component] * IMAGENET_EIGENVALUES[component]
        wanted = images[n].numpy() + colour[:, None, None]
        np.testing.assert_allclose(found[n].numpy(), wanted, atol=1e-6)


def test_the_colours_of_imagenet_are_a_basis() -> None:
    vectors = torch.tensor(IMAGENET_EIGENVECTORS)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(3), atol=1e-3, rtol=0)
    assert bool((vectors[:, 0] < 0).all()), "the first component is light against dark"


def test_principal_colours_rebuild_the_covariance() -> None:
    images = batch(9)
    images[:, 1] = 0.5 * images[:, 0] + 0.1 * images[:, 1]
    values, vectors = principal_colours(images)
    pixels = images.double().permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    centred = pixels - pixels.mean(0)
    basis = np.array(vectors)
    np.testing.assert_allclose(
        basis @ np.diag(values) @ basis.T, centred.T @ centred / len(pixels), atol=1e-12
    )
    assert values[0] >= values[1] >= values[2] >= 0
    changed = pca_lighting(images, rng=seeded(1), eigenvalues=values, eigenvectors=vectors)
    assert changed.shape == images.shape


def literal_cutout(images: Tensor, size: int, seed: int) -> Tensor:
    """arXiv:1708.04552, Section 3, pixel by pixel."""
    rng = seeded(seed)
    height, width = images.shape[2:]
    tops = torch.randint(height, (len(images), 1), generator=rng) - size // 2
    lefts = torch.randint(width, (len(images), 1), generator=rng) - size // 2
    holed = images.clone()
    for n in range(len(images)):
        for row in range(height):
            for column in range(width):
                down, right = row - int(tops[n]), column - int(lefts[n])
                if 0 <= down < size and 0 <= right < size:
                    holed[n, :, row, column] = 0
    return holed


@pytest.mark.parametrize("size", [1, 2, 3, 4, 30])
def test_cutout_is_the_literal_one(size: int) -> None:
    images = batch(20) + 1
    before = images.clone()
    found = cutout(images, size=size, rng=seeded(2))
    assert torch.equal(found, literal_cutout(images, size, 2))
    assert torch.equal(images, before)
    zeros = (found == 0).all(1).flatten(1).sum(1)
    assert int(zeros.min()) >= 1
    assert int(zeros.max()) <= size**2


def test_holes_are_centred_on_every_pixel() -> None:
    """Size 1 is the centre itself: every pixel is one, about equally often."""
    holed = cutout(torch.ones(7000, 1, 5, 7), size=1, rng=seeded(1))
    counts = (holed == 0).sum((0, 1))
    assert int(counts.min()) > 140
    assert int(counts.max()) < 260


def test_type_and_memory_format_are_kept() -> None:
    images = batch(8).to(torch.bfloat16, memory_format=torch.channels_last)
    for changed in (
        colour_jitter(images, hue=0.1, rng=seeded(0)),
        pca_lighting(images, rng=seeded(0)),
        cutout(images, size=2, rng=seeded(0)),
    ):
        assert changed.dtype is torch.bfloat16
        assert changed.is_contiguous(memory_format=torch.channels_last)


def test_what_cannot_be_done_is_said() -> None:
    with pytest.raises(UserError, match="uint8"):
        colour_jitter(batch().byte(), rng=seeded(0))
    with pytest.raises(UserError, match="strengths"):
        colour_jitter(batch(), contrast=-1, rng=seeded(0))
    with pytest.raises(UserError, match=r"hue is 0\.6"):
        colour_jitter(batch(), hue=0.6, rng=seeded(0))
    with pytest.raises(UserError, match="1 channels"):
        pca_lighting(batch(channels=1), rng=seeded(0))
    with pytest.raises(UserError, match="size of cutout is 0"):
        cutout(batch(), size=0, rng=seeded(0))
