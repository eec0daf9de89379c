"""The tests of the pre-flight that look at the data, and at what pretrained weights say of them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress

import torch
from torch import Tensor

from fathom.data.catalog import ImageList
from fathom.data.decode import BadImageError
from fathom.data.load import Dataset
from fathom.data.views import centre_view
from fathom.doctor.preflight_result import Result
from fathom.errors import require
from fathom.features.extract import Features, Looks, balanced_order, extract, gather
from fathom.models.base import ImageClassifier
from fathom.training.setup import Setup
from fathom.transfer.fits import check_fit
from fathom.transfer.nearest import fit_neighbours

_SAMPLE = 128  # images of all classes
_FLAT = 2.0  # levels of standard deviation, as in `fathom.transfer.fits`
_BLANK = 0.05  # of the images
_SHARED = 0.01  # of the images that judge
_IMBALANCE = 10.0
_MOST, _SECONDS = 500, 15.0  # images that are compared by features, and the time for it
_SURE = 3.0  # standard errors


def sample(dataset: Dataset, count: int = _SAMPLE) -> tuple[Tensor, Tensor]:
    """Evaluation views (N, C, S, S) uint8 of some training images of every class, and their (N,)
    classes.

    Files that cannot be read are left out. Raises UserError where none can.
    """
    split, view = dataset.splits["train"], dataset.preprocess
    positions = balanced_order(split.images.targets, 0)[:count]
    if split.views is not None:
        return split.views[positions], split.targets[positions]
    views, targets = [], []
    for place in positions.tolist():
        with suppress(BadImageError):
            pixels = split.images.source.pixels(split.images.keys[place], view.channels)
            views.append(centre_view(pixels, view.image_size, view.resize, view.interpolation))
            targets.append(split.images.targets[place])
    require(bool(views), f"none of {len(positions)} sampled training images is readable")
    return torch.stack(views), torch.tensor(targets)


def class_counts(setup: Setup) -> Result:
    """Measure: images of the largest training class over those of the smallest.

    Threshold: 10, where neither sampling nor the loss makes up for it; worth knowing, no fault.
    Source: the default of the ClassImbalance rule of Amazon SageMaker Debugger.
    """
    names, counts = setup.dataset.class_names, setup.dataset.counts("train")
    most, least = max(counts), min(counts)
    balanced = setup.recipe.sampling == "balanced" or setup.class_weights is not None
    return Result(
        "classes have images",
        True if balanced or most <= _IMBALANCE * least else None,
        f"{least:,} of “{names[counts.index(least)]}” to {most:,} of “{names[counts.index(most)]}”",
        f"at most {_IMBALANCE:g} times as many, or balanced sampling",
        "collect more of the rare classes, or draw them as often: --set sampling=balanced",
    )


def duplicates(dataset: Dataset) -> Result:
    """Measure: images of validation and test that are training images, too, byte by byte.

    Threshold: 1 % of a split; ours, as some published sets have a few. Files of one size are read
    whole and compared by CRC-32; changed copies are not seen.
    """
    train = dataset.splits["train"].images
    judged = {role: split.images for role, split in dataset.splits.items() if role != "train"}
    shared = {role: _shared(images, train) for role, images in judged.items()}
    told = [f"{len(shared[r]):,} of {len(i):,} {r} images" for r, i in judged.items()]
    fine = all(len(shared[r]) <= _SHARED * len(i) for r, i in judged.items())
    named = [pair for pairs in shared.values() for pair in pairs][:3]
    files = "; ".join(f"{one} is {other}" for one, other in named)
    return Result(
        "training and judging images are apart",
        fine,
        f"{', '.join(told)} are training images, too" + (f": {files}" if files else ""),
        f"at most {_SHARED:.0%}",
        "take the copies out of one of the two; `fathom embed` finds changed copies as well",
    )


def _shared(images: ImageList, train: ImageList) -> list[tuple[str, str]]:
    """(name, name in training) of every image that is in both."""
    by_size: dict[int, list[str]] = defaultdict(list)
    for key, size in _checksums(train, train.keys, whole=False):
        by_size[size].append(key)
    alike = [(k, size) for k, size in _checksums(images, images.keys, whole=False)]
    sizes = {size for _, size in alike if size in by_size}
    suspects = [key for size in sorted(sizes) for key in by_size[size]]
    known = {whole: key for key, whole in _checksums(train, suspects, whole=True)}
    candidates = [key for key, size in alike if size in sizes]
    found = _checksums(images, candidates, whole=True)
    return [(key, known[whole]) for key, whole in found if whole in known]


def _checksums(
    images: ImageList, keys: list[str] | tuple[str, ...], *, whole: bool
) -> Iterator[tuple[str, int]]:
    for key in keys:
        with suppress(BadImageError):
            yield key, images.source.checksum(key, whole=whole)


def blank_images(views: Tensor) -> Result:
    """Measure: the share of a sample that is one colour, or nearly, in every channel.

    Threshold: 5 %; ours.
    """
    flat = int((views.float().std((2, 3)).amax(1) < _FLAT).sum())
    return Result(
        "images show something",
        flat <= _BLANK * len(views),
        f"{flat} of {len(views)} training images are blank",
        f"at most {_BLANK:.0%}",
        "see how they were read and stored: fathom augment show",
    )


def fit_of_weights(views: Tensor, backbone: ImageClassifier) -> Result:
    """Measure: range, statistics, normalisation and order of channels, as the pretrained network
    has them. Thresholds and sources: `fathom.transfer.fits`."""
    assert backbone.preprocess is not None, "it came with weights"
    found = check_fit(backbone, views, preprocess=backbone.preprocess)
    told = [f"{fault.kind}: {fault.evidence}" for fault in found.faults]
    return Result(
        "images fit the pretrained weights",
        not found.faults,
        "; ".join([*told, *found.notes]) or f"{found.images} images are as the weights expect",
        "no fault of range, statistics, normalisation or order of channels",
        "; ".join(fault.remedy for fault in found.faults),
    )


def labels_of_images(setup: Setup, backbone: ImageClassifier) -> Result:
    """Measure: how many training images have the class of their nearest neighbours, by the features
    of the pretrained network, each judged without itself.

    Threshold: 3 standard errors above the most frequent class; ours. Features say nothing of images
    far from those of the pretraining, so that this alone is worth knowing and no fault.
    """
    found = _features(setup, backbone)
    classes = len(setup.dataset.class_names)
    near = fit_neighbours(found.values, found.targets, num_classes=classes, seed=0)
    top1 = near.top1.get(near.k, 0.0)
    chance = float(found.targets.bincount().max()) / len(found.targets)
    wanted = chance + _SURE * (chance * (1 - chance) / max(1, near.judged)) ** 0.5
    return Result(
        "labels go together with the images",
        True if top1 > wanted else None,
        f"{top1:.1%} of {near.judged:,} images have the class of their nearest neighbours",
        f"above {wanted:.1%}",
        "see whether labels and images have been mixed up: fathom embed",
    )


def _features(setup: Setup, backbone: ImageClassifier) -> Features:
    """Of some training images of every class, as many as there is time for."""
    dataset, deadline = setup.dataset, time.monotonic() + _SECONDS
    parts = []
    for part in extract(
        backbone,
        dataset.splits["train"],
        dataset.preprocess,
        Looks(stages=False),
        runtime=setup.runtime,
    ):
        parts.append(part)
        if time.monotonic() > deadline or sum(p.num_images for p in parts) >= _MOST:
            break
    return gather(parts)
