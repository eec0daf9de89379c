"""The evaluated view is exact, random boxes stay inside their bounds, pixels become standard."""

from __future__ import annotations

import json
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import RandomResizedCrop

from fathom.data.settings import ResizedCrop
from fathom.data.views import centre_view, random_box, random_resized_view
from fathom.preprocess import Preprocess
from tests.images import noise

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)
SIDES = st.integers(2, 90)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_of_the_size_is_shown_untouched(channels: int) -> None:
    pixels = noise(1, 9, 9, channels)
    view = centre_view(pixels, 9, 9, "bilinear")
    assert np.array_equal(view.permute(1, 2, 0).numpy(), pixels)
    view.zero_()
    assert np.array_equal(pixels, noise(1, 9, 9, channels)), "the view must be a copy"


@QUICK
@given(st.integers(4, 40), st.integers(0, 40), st.booleans(), st.integers(1, 40))
def test_without_scaling_the_view_is_the_centre(
    short: int, extra: int, tall: bool, size: int
) -> None:
    size = min(size, short)
    height, width = (short + extra, short) if tall else (short, short + extra)
    pixels = noise(2, height, width, 3)
    view = centre_view(pixels, size, short, "bilinear")
    top, left = round((height - size) / 2), round((width - size) / 2)
    wanted = pixels[top : top + size, left : left + size]
    assert np.array_equal(view.permute(1, 2, 0).numpy(), wanted)


@QUICK
@given(SIDES, SIDES, st.integers(1, 40), st.integers(0, 9), st.sampled_from([1, 3]))
def test_every_size_gives_a_square_view(
    height: int, width: int, size: int, more: int, channels: int
) -> None:
    pixels = noise(3, height, width, channels)
    flat = centre_view(np.full_like(pixels, 77), size, size + more, "bilinear")
    assert flat.shape == (channels, size, size)
    assert flat.dtype == torch.uint8
    assert (flat == 77).all()
    upright = centre_view(pixels, size, size + more, "bilinear")
    turned = centre_view(pixels.swapaxes(0, 1), size, size + more, "bilinear")
    assert (upright.int() - turned.transpose(1, 2).int()).abs().max() <= 1, "rows as columns"


@pytest.mark.parametrize(("height", "width"), [(40, 40), (40, 60), (51, 34), (7, 9)])
@pytest.mark.parametrize(("size", "resize"), [(16, 16), (14, 16), (32, 36)])
def test_scaling_is_bilinear_with_antialiasing(
    height: int, width: int, size: int, resize: int
) -> None:
    """Against PyTorch's own kernel."""
    pixels = noise(4, height, width, 3)
    short = min(height, width)
    shape = height * resize // short, width * resize // short
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float()
    scaled = F.interpolate(images, shape, mode="bilinear", antialias=True)[0]
    top, left = (round((side - size) / 2) for side in shape)
    wanted = scaled[:, top : top + size, left : left + size]
    assert (centre_view(pixels, size, resize, "bilinear") - wanted).abs().max() <= 1.5


@QUICK
@given(st.integers(2, 300), st.integers(2, 300), st.floats(0.02, 1), st.floats(1, 4), st.integers())
def test_random_boxes_lie_inside_with_allowed_area_and_aspect(
    height: int, width: int, min_area: float, max_ratio: float, seed: int
) -> None:
    crop = ResizedCrop(min_area, max_ratio)
    left, top, w, h = random_box(height, width, crop, random.Random(seed))
    assert 0 <= left <= left + w <= width
    assert 0 <= top <= top + h <= height
    assert w >= 1
    assert h >= 1
    # Sides are rounded to whole pixels, by half a pixel at most.
    assert (w - 0.5) / (h + 0.5) <= max_ratio * 1.0001
    assert (h - 0.5) / (w + 0.5) <= max_ratio * 1.0001
    # Only where no allowed box is large enough does one as large as possible have to do.
    assert (w + 0.5) * (h + 0.5) >= min_area * height * width * 0.999 or w == width or h == height


def test_random_boxes_use_the_whole_range() -> None:
    rng = random.Random(1)
    boxes = [random_box(400, 400, ResizedCrop(0.25, 4 / 3), rng) for _ in range(2000)]
    areas = [w * h / 400**2 for _, _, w, h in boxes]
    ratios = [w / h for _, _, w, h in boxes]
    assert min(areas) < 0.27
    assert max(areas) > 0.95
    assert min(ratios) < 0.77
    assert max(ratios) > 1.3
    assert abs(np.mean(np.log(ratios))) < 0.02
    corners = [(left / (401 - w), top / (401 - h)) for left, top, w, h in boxes if w < 380 > h]
    assert np.abs(np.mean(corners, axis=0) - 0.5).max() < 0.03


def test_random_boxes_have_torchvisions_distribution() -> None:
    """10,000 draws each for a picture of 300 x 400: quantiles of area, log ratio and place."""
    rng = random.Random(2)
    ours = np.array([random_box(300, 400, ResizedCrop(0.08, 4 / 3), rng) for _ in range(10_000)])
    theirs = RandomResizedCrop(224, scale=(0.08, 1), ratio=(3 / 4, 4 / 3))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = [theirs.make_params([torch.empty(3, 300, 400)]) for _ in range(10_000)]
    other = np.array([[d["left"], d["top"], d["width"], d["height"]] for d in drawn])
    levels = np.linspace(0.05, 0.95, 19)

    def measures(boxes: Any) -> Any:
        left, top, wide, tall = boxes.T
        return wide * tall, np.log(wide / tall), left / (401 - wide), top / (301 - tall)

    for mine, wanted in zip(measures(ours), measures(other), strict=True):
        gap = np.quantile(mine, levels) - np.quantile(wanted, levels)
        assert np.abs(gap).max() < 0.06 * wanted.std()


def test_a_random_view_shows_its_box() -> None:
    """On a picture whose pixels are their own coordinates, in steps of 2."""
    grid = np.mgrid[0:100, 0:120].astype(np.uint8) * 2
    pixels = np.stack([grid[0], grid[1], np.full_like(grid[0], 9)], axis=2)
    crop = ResizedCrop(0.1, 2.0)
    for seed in range(20):
        left, top, w, h = random_box(100, 120, crop, random.Random(seed))
        view = (
            random_resized_view(pixels, 16, "bilinear", crop=crop, rng=random.Random(seed)).float()
            / 2
        )
        rows, columns = view[0, :, 0], view[1, 0]
        wanted_rows = top - 0.5 + (torch.arange(16) + 0.5) * h / 16
        wanted_columns = left - 0.5 + (torch.arange(16) + 0.5) * w / 16
        # At the picture's own edges the filter has neighbours on one side only.
        assert (rows - wanted_rows).abs()[1:-1].max() <= 1
        assert (columns - wanted_columns).abs()[1:-1].max() <= 1
        assert (view[2] == 4.5).all()


def test_a_crop_of_everything_at_its_own_size_changes_nothing() -> None:
    pixels = noise(5, 12, 12, 1)
    view = random_resized_view(pixels, 12, "bilinear", crop=ResizedCrop(1, 1), rng=random.Random(0))
    assert np.array_equal(view[0].numpy(), pixels[..., 0])


def measured(views: torch.Tensor) -> Preprocess:
    values = views.double().div(255).transpose(0, 1).flatten(1)
    mean, std = values.mean(1), values.std(1, unbiased=False)
    size = views.shape[2]
    return Preprocess(size, size, views.shape[1], tuple(mean.tolist()), tuple(std.tolist()))


@pytest.mark.parametrize("channels", [1, 3])
def test_normalise_gives_mean_zero_and_std_one(channels: int) -> None:
    views = torch.from_numpy(np.stack([noise(i, 6, 6, channels) for i in range(20)]))
    views = views.permute(0, 3, 1, 2) // torch.tensor([1, 2, 5])[:channels].view(1, -1, 1, 1)
    views = views.to(torch.uint8)
    before = views.clone()
    images = measured(views).normalise(views)
    assert torch.equal(views, before)
    assert images.dtype == torch.float32
    assert images.is_contiguous(memory_format=torch.channels_last)
    flat = images.double().transpose(0, 1).flatten(1)
    assert flat.mean(1).abs().max() < 1e-6
    assert (flat.std(1, unbiased=False) - 1).abs().max() < 1e-6


def test_normalise_is_the_formula_of_each_channel() -> None:
    preprocess = Preprocess(2, 2, 3, (0.1, 0.5, 0.9), (0.2, 0.25, 1.0))
    views = torch.arange(48, dtype=torch.uint8).mul(5).view(4, 3, 2, 2)
    images = preprocess.normalise(views)
    for channel, (mean, std) in enumerate(zip(preprocess.mean, preprocess.std, strict=True)):
        wanted = (views[:, channel].double() / 255 - mean) / std
        assert (images[:, channel] - wanted).abs().max() < 1e-5


def test_preprocess_survives_json() -> None:
    preprocess = Preprocess(224, 256, 3, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert Preprocess.from_dict(json.loads(json.dumps(preprocess.to_dict()))) == preprocess
