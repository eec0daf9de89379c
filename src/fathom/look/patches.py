"""The parts of many pictures that excite a channel most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.look.maps import Box, feature_maps, seen_by, stage_fields
from fathom.look.project import check_channel
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess

_BATCH = 16


@dataclass(frozen=True)
class Peaks:
    """The strongest unit of every channel in every view: values (N, C); row, column (N, C, 2)."""

    values: Tensor
    places: Tensor


@dataclass(frozen=True)
class Patch:
    """A part of the view at `index`: what the unit sees that the picture excites most."""

    index: int
    value: float
    place: tuple[int, int]
    box: Box


def find_peaks(
    model: ImageClassifier, preprocess: Preprocess, views: Tensor, *, stage: int
) -> Peaks:
    """(N, C, S, S) uint8 views -> where each channel of the map after a stage is strongest."""
    device = next(model.parameters()).device
    values, places = [], []
    for batch in torch.split(views, _BATCH):
        images = preprocess.normalise(batch.to(device))
        maps = feature_maps(model, images)[stage].float().cpu()
        found, flat = maps.flatten(2).max(2)
        values.append(found)
        places.append(torch.stack((flat // maps.shape[3], flat % maps.shape[3]), 2))
    return Peaks(torch.cat(values), torch.cat(places))


def exciting_patches(
    model: ImageClassifier, peaks: Peaks, *, stage: int, channel: int, image_size: int, top: int = 9
) -> list[Patch]:
    """The views that excite a channel most, and the part of each that its unit sees.

    One patch a view, the strongest first; a view in which the channel is nowhere above zero has
    none. Raises UserError for a channel that does not exist.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, Section 4 and Figure 2, which shows the top
    nine.
    """
    check_channel(channel, peaks.values.shape[1])
    field = stage_fields(model, image_size)[stage]
    values, order = peaks.values[:, channel].topk(min(top, len(peaks.values)))
    patches = []
    for value, index in zip(values.tolist(), order.tolist(), strict=True):
        if value > 0:
            row, column = peaks.places[index, channel].tolist()
            box = seen_by(field, (row, column), image_size)
            patches.append(Patch(index, value, (row, column), box))
    return patches
