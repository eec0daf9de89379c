"""Data sets of the trial, small enough that a run takes seconds: 16 pixels, a few thousand images.

Digits come with scikit-learn; Fashion-MNIST and CIFAR-10 (a JPEG copy) are read where the command
line says. Pictures are uint8, so that a fault may forget to scale them.

Pretrained networks have worlds of their own, LARGE: few images of CIFAR-10, enlarged to 96 pixels,
and labelled photographs of ImageNet's classes at 128, which keep the classifier that weights come
with.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from fathom.data.catalog import open_catalog
from fathom.data.settings import DataSettings
from fathom.data.sources import Zip
from fathom.data.views import centre_view

SIDE = 16
LARGE = ("cifar10-96", "photographs")
HELD = ("cifar10", *LARGE)  # worlds that set no threshold
_EACH = (200, 60)  # images of each class to train on and to validate on, at most
_EACH_LARGE = (40, 20)
_PHOTOGRAPH, _SHORT = 128, 146  # pixels of the crop and of the short side

Transform = Callable[[Tensor, random.Random], Tensor]


@dataclass(frozen=True)
class World:
    """(N, C, S, S) uint8 images and (N,) classes for training and for validation.

    mean, std: of the training images in [0, 1], by channel. num_classes: whether or not each has
    images.
    """

    name: str
    train_images: Tensor
    train_targets: Tensor
    val_images: Tensor
    val_targets: Tensor
    mean: Tensor
    std: Tensor
    num_classes: int = 10

    def fewer(self, per_class: int) -> World:
        """The first images of each class."""
        kept = torch.cat(
            [torch.where(self.train_targets == c)[0][:per_class] for c in range(self.num_classes)]
        )
        return self.of(self.train_images[kept], self.train_targets[kept])

    def of(self, images: Tensor, targets: Tensor) -> World:
        """Other training images."""
        return replace(self, train_images=images, train_targets=targets)


class Pictures(Dataset[Any]):
    """What a user's own data set is: images normalised, perhaps augmented, one at a time."""

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        normalise: Callable[[Tensor], Tensor],
        transform: Transform | None = None,
        seed: int | None = 0,
    ) -> None:
        self.images, self.targets = images, targets
        self.normalise, self.transform = normalise, transform
        self.rng = random.Random(seed)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image = self.images[place]
        if self.transform is not None:
            image = self.transform(image, self.rng)
        return self.normalise(image), int(self.targets[place])


def worlds(
    fashion: str | None, cifar10: Sequence[str] | None, photographs: Sequence[str] | None
) -> dict[str, Callable[[], World]]:
    """How to make each world that the files are there for, by name.

    fashion: a folder; cifar10: two, of training and of test images; photographs: a zip of them, and
    a table with the columns file and class_index, of ImageNet's 1,000 classes in their usual order.
    """
    found: dict[str, Callable[[], World]] = {"digits": cache(_digits)}
    if fashion is not None:
        settings = DataSettings(source="fashion-mnist", data_dir=fashion)
        found["fashion"] = cache(lambda: _listed("fashion", settings, 1))
    if cifar10 is not None:
        train, test = map(str, cifar10)
        pictures = DataSettings(train=train, test=test)
        found["cifar10"] = cache(lambda: _listed("cifar10", pictures, 3))
        found["cifar10-96"] = cache(
            lambda: _listed("cifar10-96", pictures, 3, side=96, most=_EACH_LARGE)
        )
    if photographs is not None:
        archive, table = map(Path, photographs)
        found["photographs"] = cache(lambda: _photographs(archive, table))
    return found


def _digits() -> World:
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.tensor(found.images * 255 / 16).round().to(torch.uint8)[:, None]
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images, targets = _sized(images[order]), torch.tensor(found.target, dtype=torch.int64)[order]
    return _made("digits", images[:1400], targets[:1400], images[1400:], targets[1400:])


def _listed(
    name: str,
    settings: DataSettings,
    channels: int,
    *,
    side: int = SIDE,
    most: tuple[int, int] = _EACH,
) -> World:
    """Images of a catalog, drawn once with seed 0."""
    catalog = open_catalog(settings)
    parts = []
    for split, each in zip(("train", "test"), most, strict=True):
        images = catalog.splits[split]
        rng = random.Random(0)
        places = [
            place
            for c in range(len(catalog.class_names))
            for place in rng.sample([p for p, t in enumerate(images.targets) if t == c], each)
        ]
        pixels = np.stack([images.source.pixels(images.keys[p], channels) for p in places])
        tensor = torch.from_numpy(pixels).movedim(3, 1)
        parts += [_sized(tensor, side), torch.tensor([images.targets[p] for p in places])]
    return _made(name, *parts)


def _photographs(archive: Path, table: Path) -> World:
    """Four fifths of the photographs to train on, the others to validate on."""
    with table.open(newline="") as file:
        rows = [(row["file"], int(row["class_index"])) for row in csv.DictReader(file)]
    random.Random(0).shuffle(rows)
    source, first = Zip(archive), 4 * len(rows) // 5
    views = [
        centre_view(source.pixels(name, 3), _PHOTOGRAPH, _SHORT, "bicubic") for name, _ in rows
    ]
    images, targets = torch.stack(views), torch.tensor([target for _, target in rows])
    made = _made("photographs", images[:first], targets[:first], images[first:], targets[first:])
    return replace(made, num_classes=1000)


def _sized(images: Tensor, side: int = SIDE) -> Tensor:
    sized = F.interpolate(images.float(), size=side, mode="bilinear", antialias=True)
    return sized.round().clamp(0, 255).to(torch.uint8)


def _made(
    name: str, train: Tensor, train_targets: Tensor, val: Tensor, val_targets: Tensor
) -> World:
    values = train.float() / 255
    mean, std = values.mean((0, 2, 3)), values.std((0, 2, 3))
    return World(name, train, train_targets, val, val_targets, mean, std)


def kept(path: Path, make: Callable[[], World]) -> World:
    """A world from its file, or made and kept there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(vars(make()), path)
    return World(**torch.load(path, weights_only=True))
