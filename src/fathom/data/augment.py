"""Augmentation of whole batches: each image its own draw, no Python per image."""

from __future__ import annotations

import torch
from torch import Tensor

from fathom.data.settings import AugmentSettings, PadCrop
from fathom.preprocess import Preprocess


def augment_batch(
    views: Tensor, settings: AugmentSettings, preprocess: Preprocess, rng: torch.Generator
) -> Tensor:
    """(N, C, H, W) uint8 -> augmented, normalised float32 (N, C, H, W) in channels_last.

    Crop and flip are one gather: output pixel (y, x) of image n is read from row y + dy[n] and
    column x + dx[n], counted from the right where n is flipped. Draws come from rng on the CPU, so
    that every device sees the same ones.
    """
    count, _, height, width = views.shape
    crop = settings.crop
    padding = crop.padding if isinstance(crop, PadCrop) else 0
    shifts = torch.randint(-padding, padding + 1, (2, count, 1), generator=rng)
    flips = torch.rand((count, 1), generator=rng) < 0.5
    rows = torch.arange(height) + shifts[0]
    columns = torch.arange(width) + shifts[1]
    if settings.flip:
        columns = torch.where(flips, width - 1 - columns, columns)
    elif not padding:
        return preprocess.normalise(views)
    fill = crop.fill if isinstance(crop, PadCrop) else "reflect"
    return _gather(views, rows, columns, fill, preprocess)


def _gather(
    views: Tensor, rows: Tensor, columns: Tensor, fill: str, preprocess: Preprocess
) -> Tensor:
    """Read (N, H) rows and (N, W) columns, reflecting or filling where they lie outside."""
    count, _, height, width = views.shape
    outside = None
    if fill != "reflect":
        bad_rows = (rows < 0) | (rows >= height)
        bad_columns = (columns < 0) | (columns >= width)
        outside = (bad_rows[:, :, None] | bad_columns[:, None, :])[:, None].to(views.device)
    rows = _reflect(rows, height)[:, :, None].to(views.device, non_blocking=True)
    columns = _reflect(columns, width)[:, None, :].to(views.device, non_blocking=True)
    index = torch.arange(count, device=views.device)[:, None, None]
    picked = views.permute(0, 2, 3, 1)[index, rows, columns].permute(0, 3, 1, 2)
    if outside is not None and fill == "black":
        picked = picked.masked_fill(outside, 0)
    images = preprocess.normalise(picked)
    if outside is not None and fill == "mean":
        images.masked_fill_(outside, 0.0)
    return images


def _reflect(index: Tensor, size: int) -> Tensor:
    """Mirror indices outside [0, size) at the edge pixels, which are not repeated, as often as a
    padding wider than the image takes."""
    if size == 1:
        return torch.zeros_like(index)
    index = index.abs() % (2 * (size - 1))
    return torch.where(index >= size, 2 * (size - 1) - index, index)
