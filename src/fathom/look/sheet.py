"""Everything that is looked at, for one picture and one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from fathom.classifier import Classifier
from fathom.data.decode import Pixels
from fathom.look.attend import Attention, grad_cam
from fathom.look.maps import Box, feature_maps, first_filters, peak, seen_by, stage_fields
from fathom.look.maps import strongest as strongest_of
from fathom.look.occlude import Occlusion, occlude
from fathom.look.patches import Patch, exciting_patches, find_peaks
from fathom.look.project import Projection, project
from fathom.look.subject import find_class, find_stage, network, view_of
from fathom.runtime import configured

_TOP = 5  # classes
_MAPS = 8  # of a stage


@dataclass(frozen=True)
class Map:
    """One channel of a stage's map, (H, W) float32 on the CPU, and its highest value."""

    channel: int
    peak: float
    values: Tensor


@dataclass(frozen=True)
class Sheet:
    """What was found. stage counts from 0; box is what the strongest unit sees of the view.

    views and names: the pictures that patches were cut from, empty where none were given.
    """

    view: Tensor
    class_names: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    target: int
    stage: int
    filters: Tensor
    maps: tuple[tuple[Map, ...], ...]
    attention: Attention
    occlusion: Occlusion
    projection: Projection
    box: Box
    patches: tuple[Patch, ...]
    views: Tensor | None
    names: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; stages count from 1, as people count them."""
        found = self.occlusion
        return {
            "top": [{"class": name, "probability": chance} for name, chance in self.top],
            "class": self.class_names[self.target],
            "stage": self.stage + 1,
            "filters": list(self.filters.shape),
            "maps": [
                [{"channel": one.channel, "peak": one.peak} for one in stage] for stage in self.maps
            ],
            "grad_cam": {"heat": self.attention.heat.tolist(), "logit": self.attention.logit},
            "occlusion": {
                "side": found.side,
                "starts": list(found.starts),
                "whole": found.whole,
                "probabilities": found.probabilities.tolist(),
                "top": [[self.class_names[i] for i in row] for row in found.tops.tolist()],
            },
            "deconvolution": {
                "channel": self.projection.channel,
                "value": self.projection.value,
                "place": list(self.projection.place),
                "box": list(self.box),
            },
            "patches": [
                {"picture": self.names[p.index], "value": p.value, "box": list(p.box)}
                for p in self.patches
            ],
        }


def look(
    classifier: Classifier,
    pixels: Pixels,
    *,
    target: str | None = None,
    stage: int | None = None,
    channel: int | None = None,
    among: tuple[Sequence[str], Tensor] | None = None,
) -> Sheet:
    """(H, W, C) uint8 picture -> all there is to see of it in a network.

    Args:
        target: the class to explain, by name or number; the likeliest unless given.
        stage: from 1; the last unless given.
        channel: of that stage, from 0; the one with the highest peak unless given.
        among: names and (N, C, S, S) uint8 views in which to find what excites the channel most.

    Raises UserError for a class, stage or channel that does not exist.
    """
    model = network(classifier)
    view = view_of(pixels, classifier.preprocess)
    place = find_stage(model, stage)
    size = view.shape[-1]
    with configured(classifier.runtime):
        chances = classifier.probabilities(view[None])[0]
        chosen = int(chances.argmax())
        if target is not None:
            chosen = find_class(classifier.class_names, target)
        images = classifier.preprocess.normalise(view[None].to(classifier.runtime.device))
        projection = project(model, images, stage=place, channel=channel)
        patches: list[Patch] = []
        if among is not None:
            peaks = find_peaks(model, classifier.preprocess, among[1], stage=place)
            patches = exciting_patches(
                model, peaks, stage=place, channel=projection.channel, image_size=size
            )
        return Sheet(
            view=view,
            class_names=classifier.class_names,
            top=likeliest(chances, classifier.class_names),
            target=chosen,
            stage=place,
            filters=first_filters(model),
            maps=strongest_maps(feature_maps(model, images), _MAPS),
            attention=grad_cam(model, images, target=chosen, stage=place),
            occlusion=occlude(classifier, view, target=chosen),
            projection=projection,
            box=seen_by(stage_fields(model, size)[place], projection.place, size),
            patches=tuple(patches),
            views=None if among is None else among[1],
            names=() if among is None else tuple(among[0]),
        )


def likeliest(chances: Tensor, names: Sequence[str]) -> tuple[tuple[str, float], ...]:
    """(K,) probabilities -> the five largest, with their classes' names."""
    found = chances.topk(min(_TOP, len(names)))
    pairs = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return tuple((names[number], chance) for number, chance in pairs)


def strongest_maps(stages: Sequence[Tensor], count: int) -> tuple[tuple[Map, ...], ...]:
    """(1, C_i, H_i, W_i) maps -> of each stage the channels with the highest peaks."""
    return tuple(
        tuple(
            Map(channel, peak(maps[0, channel])[0], maps[0, channel].float().cpu().clone())
            for channel in strongest_of(maps[0], count)
        )
        for maps in stages
    )
