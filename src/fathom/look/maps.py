"""First-layer filters, feature maps, and which pixels a unit of a map sees."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.costs.count import last_field
from fathom.costs.field import Field
from fathom.costs.trace import in_mode, trace
from fathom.errors import UserError, require
from fathom.models.base import ImageClassifier

Box = tuple[int, int, int, int]  # top, left, bottom, right; the last two are outside


def first_filters(model: ImageClassifier) -> Tensor:
    """(K, C, h, w) float32 on the CPU: the kernels of the first convolution, which reads the image.

    Raises UserError for a network whose first convolution does not read all channels of it.
    """
    for part in (model.stem, model.stages):
        for module in part.modules():
            if isinstance(module, nn.Conv2d):
                kernels = module.weight.detach().float().cpu()
                require(
                    kernels.shape[1] == model.in_channels,
                    "the first convolution of this network does not read whole pixels",
                )
                return kernels
    raise UserError("this network has no convolution to show filters of")


def sees_light(filters: Tensor) -> Tensor:
    """(K, 3, h, w) -> (K,): the share of each filter's energy that is the same in all colours.

    Near 1 it sees light and dark, as an edge is; near 0 it sees colour.
    """
    common = filters.mean(1, keepdim=True).expand_as(filters)
    whole = filters.square().sum((1, 2, 3)).clamp_min(torch.finfo(filters.dtype).tiny)
    return common.square().sum((1, 2, 3)) / whole


def feature_maps(model: ImageClassifier, images: Tensor) -> list[Tensor]:
    """(N, C, H, W) images -> the map after each stage, (N, C_i, H_i, W_i), in evaluation mode."""
    with in_mode(model, training=False), torch.inference_mode():
        return model.features(images)


def strongest(maps: Tensor, count: int) -> list[int]:
    """(C, H, W) maps -> the channels with the highest peaks, the highest first."""
    peaks = maps.flatten(1).amax(1)
    return peaks.topk(min(count, len(peaks))).indices.tolist()


def peak(channel: Tensor) -> tuple[float, tuple[int, int]]:
    """(H, W) -> the highest value, and its row and column."""
    place = int(channel.argmax())
    return float(channel.max()), (place // channel.shape[1], place % channel.shape[1])


def stage_fields(model: ImageClassifier, image_size: int) -> tuple[Field, ...]:
    """What a unit of each stage's map sees of a square image of this side, by the graph.

    Source: Araujo, Norris, Sim 2019 (Distill), for the recurrences; see `fathom.costs.field`.
    """
    records = trace(model, (1, model.in_channels, image_size, image_size)).records.values()
    fields = []
    for number in range(len(model.stages)):
        path = f"stages.{number}"
        own = [r for r in records if r.path == path or r.path.startswith(f"{path}.")]
        field = last_field(own)
        assert field is not None, "every stage computes something of the image"
        fields.append(field)
    return tuple(fields)


def passes_within(model: ImageClassifier, image_size: int, macs: float) -> int:
    """How many passes of one image fit into so many multiply-adds."""
    records = trace(model, (1, model.in_channels, image_size, image_size)).records.values()
    return int(macs // max(1, sum(record.macs for record in records)))


def seen_by(field: Field, place: tuple[int, int], image_size: int) -> Box:
    """The pixels that the unit at (row, column) sees, cut at the borders of the image."""
    top, left = (_first(field, place, axis) for axis in (0, 1))
    bottom, right = top + field.size[0], left + field.size[1]
    return max(0, top), max(0, left), min(image_size, bottom), min(image_size, right)


def _first(field: Field, place: tuple[int, int], axis: int) -> int:
    middle = field.offset[axis] + place[axis] * field.stride[axis]
    return round(middle - (field.size[axis] - 1) / 2)
