"""What is in a batch, as pictures that can be shown, each with its label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.data.batches import Batch
from fathom.data.decode import Pixels
from fathom.data.load import Dataset
from fathom.data.mixing import soft
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime

CPU = Runtime(torch.device("cpu"), "float32", 1)


@dataclass(frozen=True)
class Look:
    """One picture, (H, W, C) uint8, and its label: (class, share), the largest share first."""

    picture: Pixels
    shares: tuple[tuple[str, float], ...]


def looks(batch: Batch, dataset: Dataset) -> list[Look]:
    """The images of a batch in the order of their split, as pictures."""
    order = batch.positions.argsort()
    pictures = _pictures(batch.images[order], dataset.preprocess)
    rows = soft(batch.targets, len(dataset.class_names))[order].tolist()
    return [
        Look(picture, _shares(row, dataset.class_names))
        for picture, row in zip(pictures, rows, strict=True)
    ]


def _pictures(images: Tensor, preprocess: Preprocess) -> list[Pixels]:
    """(N, C, S, S) normalised -> N times (S, S, C) uint8; what is beyond black or white is cut."""
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (preprocess.mean, preprocess.std))
    pixels = ((images * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
    return list(pixels.permute(0, 2, 3, 1).contiguous().numpy())


def _shares(row: Sequence[float], names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    pairs = [(name, share) for name, share in zip(names, row, strict=True) if share > 0]
    return tuple(sorted(pairs, key=lambda pair: -pair[1]))
