"""What was found, as (H, W, 3) uint8 pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fathom.data.decode import Pixels

_DARKEST = 0.18  # of a picture's light, where no heat falls on it
_COMMON = 0.995
_GAP = 2  # pixels between tiles
_PAPER = 128  # grey behind tiles
# Colours from low to high, of evenly rising lightness, told apart by the colour-blind, too: five of
# the Cividis scale of Nuñez, Anderton and Renslow 2018, PLOS ONE 13(7).
_RAMP = ((0, 34, 78), (66, 78, 108), (125, 124, 120), (188, 175, 111), (254, 232, 56))


def picture(view: Tensor) -> Pixels:
    """(1 or 3, H, W) uint8 view -> its pixels."""
    pixels: Pixels = view.cpu().expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    return pixels


def signed(values: Tensor) -> Pixels:
    """(1 or 3, H, W) -> zero is middle grey; black and white are the largest absolute values.

    One in two hundred may be larger still: a few pixels would else leave the others grey.
    """
    most = max(float(values.abs().quantile(_COMMON)), torch.finfo(values.dtype).tiny)
    scaled = (values / most * 127 + 128).round().clamp(0, 255).byte()
    return picture(scaled)


def light(values: Tensor) -> Pixels:
    """(H, W) -> the lowest value is black, the highest white; what is the same all over is black"""
    return picture((_between(values) * 255).round().byte()[None])


def ramp(values: Tensor) -> Pixels:
    """(H, W) from 0 to 1 -> colours from dark blue to yellow, whose lightness rises evenly."""
    at = values.cpu().numpy() * (len(_RAMP) - 1)
    anchors = np.arange(len(_RAMP))
    channels = [np.interp(at, anchors, [colour[c] for colour in _RAMP]) for c in range(3)]
    return np.stack(channels, 2).round().astype(np.uint8)


def spotlight(view: Tensor, heat: Tensor) -> Pixels:
    """(C, S, S) uint8 view and (h, w) heat, never negative -> the view, darkened where it is cold.

    The heat is enlarged bilinearly, as in Grad-CAM's paper.
    """
    most = max(float(heat.max()), torch.finfo(heat.dtype).tiny)
    large = torch.nn.functional.interpolate(
        (heat / most)[None, None], size=view.shape[1:], mode="bilinear", align_corners=False
    )[0, 0]
    lit = picture(view) * (_DARKEST + (1 - _DARKEST) * large.numpy())[..., None]
    return lit.round().astype(np.uint8)


def enlarged(pixels: Pixels, side: int) -> Pixels:
    """To about this longer side: small pictures by a whole factor, each pixel a square."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    image = Image.fromarray(pixels)
    if longest <= side:
        factor = max(1, round(side / longest))
        return np.asarray(image.resize((width * factor, height * factor), Image.Resampling.NEAREST))
    size = (max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def tiles(pictures: Sequence[Pixels], *, side: int) -> Pixels:
    """Pictures of one size, each enlarged to about side pixels -> all in about a square."""
    large = [enlarged(pixels, side) for pixels in pictures]
    height, width = large[0].shape[:2]
    columns = math.ceil(math.sqrt(len(large)))
    rows = math.ceil(len(large) / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    page = np.full(shape, _PAPER, dtype=np.uint8)
    for number, pixels in enumerate(large):
        top, left = number // columns * (height + _GAP), number % columns * (width + _GAP)
        page[top : top + height, left : left + width] = pixels
    return page


def _between(values: Tensor) -> Tensor:
    """Scaled so that the lowest is 0 and the highest 1."""
    low, high = float(values.min()), float(values.max())
    return (values - low) / max(high - low, torch.finfo(values.dtype).tiny)
