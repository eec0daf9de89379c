"""Crops of fixed size at many scales: one at random for training, many in a fixed order for tests.

Both resize the short side to a scale, keep the aspect ratio, and cut a square out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fathom.data.decode import Pixels
from fathom.data.settings import ScaleCrop
from fathom.data.views import RESAMPLING, to_image, to_tensor
from fathom.errors import require
from fathom.preprocess import Interpolation

RESNET_SCALES = (224, 256, 384, 480, 640)

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class View:
    """One look at a picture: the short side it is resized to, the box (left, top, right, bottom)
    cut out of that, and whether it is mirrored left and right afterwards."""

    scale: int
    box: Box
    mirrored: bool


def resized(height: int, width: int, scale: int) -> tuple[int, int]:
    """Height and width with the short side at scale; the long side is rounded down, as in
    torchvision."""
    short = min(height, width)
    return scale * height // short, scale * width // short


def at_scale(pixels: Pixels, scale: int, interpolation: Interpolation = "bilinear") -> Pixels:
    """(H, W, C) uint8 -> (H', W', C) uint8 with the short side at scale, antialiased."""
    height, width, _ = pixels.shape
    tall, wide = resized(height, width, scale)
    smooth = to_image(pixels).resize((wide, tall), RESAMPLING[interpolation])
    return np.array(smooth).reshape(tall, wide, pixels.shape[2])


def random_scale_view(
    height: int, width: int, *, low: int = 256, high: int = 480, crop: int = 224, rng: random.Random
) -> View:
    """A crop at a random place of the picture at a random scale; it is not mirrored.

    The short side is uniform over the whole numbers from low to high, both included.
    Source: He et al. 2015, arXiv:1512.03385, Section 3.4, after VGG (arXiv:1409.1556), which has
    256 to 512.
    """
    require(crop <= low <= high, f"scales {low} to {high} must rise and hold a crop of {crop}")
    scale = rng.randint(low, high)
    tall, wide = resized(height, width, scale)
    left, top = rng.randint(0, wide - crop), rng.randint(0, tall - crop)
    return View(scale, (left, top, left + crop, top + crop), mirrored=False)


def random_scaled_view(
    pixels: Pixels,
    image_size: int,
    interpolation: Interpolation,
    *,
    crop: ScaleCrop,
    rng: random.Random,
) -> Tensor:
    """(H, W, C) uint8 -> (C, S, S) uint8: `random_scale_view` of one picture, cut out."""
    height, width, _ = pixels.shape
    view = random_crop_view(height, width, image_size, crop=crop, rng=rng)
    return cut_views(pixels, [view], interpolation)[0]


def random_crop_view(
    height: int, width: int, image_size: int, *, crop: ScaleCrop, rng: random.Random
) -> View:
    """The draw of `random_scaled_view` for a picture of height x width pixels."""
    low, high = (round(share * image_size) for share in (crop.low, crop.high))
    return random_scale_view(height, width, low=low, high=high, crop=image_size, rng=rng)


def five_boxes(height: int, width: int, crop: int) -> tuple[Box, ...]:
    """Top left, top right, bottom left, bottom right, centre. In a picture of the crop's own size
    all five are the same."""
    require(
        crop <= min(height, width), f"a crop of {crop} does not fit into {width}x{height} pixels"
    )
    right, bottom = width - crop, height - crop
    corners = ((0, 0), (right, 0), (0, bottom), (right, bottom))
    centre = (round(right / 2), round(bottom / 2))
    return tuple((x, y, x + crop, y + crop) for x, y in (*corners, centre))


def ten_crops(
    height: int, width: int, *, scales: Sequence[int] = (256,), crop: int = 224
) -> tuple[View, ...]:
    """Ten views for each scale, in order: the five boxes, then the same mirrored.

    Source: Krizhevsky et al. 2012, Section 4.1, for ten views of one scale; the five RESNET_SCALES
    are those of He et al. 2015, arXiv:1512.03385, Section 3.4. Departure: at each of them that
    paper runs the network over the whole picture and averages, instead of cutting ten crops.
    """
    return tuple(
        View(scale, box, mirrored)
        for scale in scales
        for mirrored in (False, True)
        for box in five_boxes(*resized(height, width, scale), crop)
    )


def cut_views(
    pixels: Pixels, views: Sequence[View], interpolation: Interpolation = "bilinear"
) -> Tensor:
    """(H, W, C) uint8 -> (V, C, S, S) uint8: the views of one picture, resized once a scale."""
    scales = {view.scale for view in views}
    pictures = {scale: at_scale(pixels, scale, interpolation) for scale in scales}
    return torch.stack([cut_view(pictures[view.scale], view) for view in views])


def cut_view(scaled: Pixels, view: View) -> Tensor:
    """(H, W, C) uint8 of a picture at the view's scale -> (C, S, S) uint8: the view."""
    left, top, right, bottom = view.box
    image = to_tensor(scaled[top:bottom, left:right])
    return image.flip(2) if view.mirrored else image
