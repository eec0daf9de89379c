"""The view of an image that a network is shown."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fathom.data.decode import Pixels
from fathom.data.settings import ResizedCrop
from fathom.preprocess import Interpolation

RESAMPLING = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def centre_view(
    pixels: Pixels, image_size: int, resize: int, interpolation: Interpolation
) -> Tensor:
    """(H, W, C) uint8 -> (C, S, S) uint8: short side to `resize`, centre crop of S = image_size.

    The long side and the crop's place are rounded as in torchvision.
    """
    height, width, _ = pixels.shape
    if (height, width) == (image_size, image_size) and resize == image_size:
        return to_tensor(pixels)
    short = min(height, width)
    size = max(image_size, resize * width // short), max(image_size, resize * height // short)
    resized = np.asarray(to_image(pixels).resize(size, RESAMPLING[interpolation]))
    left, top = round((size[0] - image_size) / 2), round((size[1] - image_size) / 2)
    return to_tensor(resized[top : top + image_size, left : left + image_size])


def random_resized_view(
    pixels: Pixels,
    image_size: int,
    interpolation: Interpolation,
    *,
    crop: ResizedCrop,
    rng: random.Random,
) -> Tensor:
    """(H, W, C) uint8 -> (C, S, S) uint8: a random share of the area at a random aspect ratio.

    Source: Szegedy et al. 2014, arXiv:1409.4842, Section 6. Ten draws, then the largest centred
    box of an allowed aspect ratio, as in torchvision.
    """
    height, width, _ = pixels.shape
    left, top, box_width, box_height = random_box(height, width, crop, rng)
    box = (left, top, left + box_width, top + box_height)
    resized = to_image(pixels).resize((image_size, image_size), RESAMPLING[interpolation], box=box)
    return to_tensor(np.asarray(resized))


def random_box(
    height: int, width: int, crop: ResizedCrop, rng: random.Random
) -> tuple[int, int, int, int]:
    """Left, top, width and height of a box inside the image: the draw of `random_resized_view`."""
    limit = math.log(crop.max_ratio)
    for _ in range(10):
        area = height * width * rng.uniform(crop.min_area, 1)
        ratio = math.exp(rng.uniform(-limit, limit))
        box_width, box_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < box_width <= width and 0 < box_height <= height:
            left, top = rng.randint(0, width - box_width), rng.randint(0, height - box_height)
            return left, top, box_width, box_height
    box_width = min(width, round(height * crop.max_ratio))
    box_height = min(height, round(width * crop.max_ratio))
    return (width - box_width) // 2, (height - box_height) // 2, box_width, box_height


def to_image(pixels: Pixels) -> Image.Image:
    """(H, W, C) uint8 -> a picture of Pillow's, gray where C is 1."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def to_tensor(pixels: Pixels) -> Tensor:
    """(H, W, C) or (H, W) uint8 -> (C, H, W) uint8, a copy."""
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())
