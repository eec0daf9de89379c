"""All images of some data as features: one row each, with its name, class and split."""

from __future__ import annotations

import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

import torch
from PIL import Image
from torch import Tensor

from fathom.data.builtin import BUILTIN
from fathom.data.catalog import Catalog, ImageList, find_images
from fathom.data.decode import BadImageError
from fathom.data.load import BadImage, Split
from fathom.data.settings import DataSettings
from fathom.data.sources import FileSource, Folder, Source, Tar, Zip, is_tar
from fathom.errors import UserError, require
from fathom.features.backbone import Backbone
from fathom.features.cache import Cache, cached
from fathom.features.extract import Features, Looks, gather
from fathom.preprocess import Preprocess
from fathom.runtime import choose_runtime, configured

_ROLES = ("all", "train", "val", "test")


@dataclass(frozen=True)
class Progress:
    """How many images are done, of how many, and the seconds left, None where nothing tells."""

    done: int
    total: int
    seconds_left: float | None


@dataclass(frozen=True)
class Embedding:
    """N images, split by split and in their order there: a row of (N, D) float32 features each.

    values are averaged over the views. paths are keys of the source of their split. class_names is
    empty where the images have no classes; all of the (N,) targets are then 0. bad: files left out.
    """

    data: str
    backbone: Backbone
    preprocess: Preprocess
    views: int
    paths: tuple[str, ...]
    splits: tuple[str, ...]
    targets: Tensor
    values: Tensor
    class_names: tuple[str, ...]
    sources: Mapping[str, Source]
    bad: tuple[BadImage, ...]

    def label(self, row: int) -> str | None:
        """The class of a row, None where there are no classes."""
        return self.class_names[int(self.targets[row])] if self.class_names else None

    def checksum(self, row: int) -> int | None:
        """CRC-32 of the file of a row, None where it can no longer be read."""
        try:
            return self.sources[self.splits[row]].checksum(self.paths[row], whole=True)
        except BadImageError:
            return None


def embed(
    settings: DataSettings,
    backbone: Backbone,
    *,
    views: int = 1,
    image_size: int | None = None,
    device: str = "auto",
    cache: Cache | None = None,
) -> Iterator[Progress | Embedding]:
    """Say how far it is, again and again; at last the features of all images of all splits.

    The data may have one class, or be pictures of a folder or archive without classes. image_size
    is that of the network's input in pixels, the weights' own unless given. The second view is the
    mirror image where that keeps the class: as is known of the data, else for pictures in colour.
    What a cache holds is not computed again.

    Raises UserError for data or weights that cannot be used, and for broken files where
    settings.on_bad_image is "fail".
    """
    catalog = _loose_pictures(settings) or find_images(settings)
    splits = {role: catalog.splits[role] for role in _ROLES if role in catalog.splits}
    model = backbone.build()
    assert model.preprocess is not None
    preprocess = model.preprocess
    if image_size is not None:
        require(image_size >= 4, f"image_size is {image_size}; use at least 4")
        preprocess = preprocess.at(image_size)
    flip = catalog.flip_safe
    if flip is None:
        flip = catalog.summary().channels == 3
    looks = Looks(views, flip=flip and views > 1, stages=False)
    runtime = choose_runtime(device)
    clock = _Clock(sum(map(len, splits.values())))
    found: dict[str, Features] = {}
    with configured(runtime):
        for role, images in splits.items():
            stream = cached(
                model,
                Split(images, None),
                preprocess,
                looks,
                runtime=runtime,
                cache=cache,
                role=role,
                workers=settings.workers,
            )
            parts: list[Features] = []
            with closing(stream):
                for part in stream:
                    _refuse(part.bad, settings)
                    parts.append(part)
                    yield clock.after(part)
            found[role] = _in_order(gather(parts))
    yield _joined(catalog, found, backbone, preprocess, views)


def _joined(
    catalog: Catalog,
    found: Mapping[str, Features],
    backbone: Backbone,
    preprocess: Preprocess,
    views: int,
) -> Embedding:
    """The features of all splits, one row an image, as one."""
    return Embedding(
        data=catalog.name,
        backbone=backbone,
        preprocess=preprocess,
        views=views,
        paths=tuple(
            catalog.splits[role].keys[position]
            for role, features in found.items()
            for position in features.positions.tolist()
        ),
        splits=tuple(role for role, features in found.items() for _ in features.targets),
        targets=torch.cat([features.targets for features in found.values()]),
        values=torch.cat([features.values for features in found.values()]),
        class_names=catalog.class_names,
        sources={role: images.source for role, images in catalog.splits.items()},
        bad=tuple(image for features in found.values() for image in features.bad),
    )


class _Clock:
    """How long the rest takes, judged by what came after the first part, which may be old."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.first: tuple[int, float] | None = None

    def after(self, part: Features) -> Progress:
        """Where a part has brought it."""
        now = time.monotonic()
        self.done += part.num_images + len(part.bad)
        if self.first is None:
            self.first = self.done, now
        count, began = self.first
        left = None
        if self.done > count:
            left = (self.total - self.done) * (now - began) / (self.done - count)
        return Progress(self.done, self.total, left)


def _refuse(bad: Sequence[BadImage], settings: DataSettings) -> None:
    """Raise UserError for broken files where the settings do not go on without them."""
    if bad and settings.on_bad_image == "fail":
        raise UserError(
            f"{bad[0].name} cannot be used: {bad[0].reason}. Mend or remove it, or go on without "
            "it with --on-bad-image skip"
        )


def _in_order(features: Features) -> Features:
    """One row an image, the mean of its views, in the order of the images' positions."""
    count = features.num_images
    order = features.positions[:count].argsort()
    return replace(
        features,
        values=features.values.view(features.views, count, -1).mean(0)[order],
        targets=features.targets[:count][order],
        positions=features.positions[:count][order],
        views=1,
    )


def _loose_pictures(settings: DataSettings) -> Catalog | None:
    """The pictures of a folder or an archive that holds no folders; None for anything else."""
    if settings.source is None or settings.source in BUILTIN:
        return None
    source = _opened(Path(settings.source).expanduser())
    files = [] if source is None else source.listing().files
    if source is None or any("/" in file for file in files):
        return None
    known = Image.registered_extensions()
    keys = tuple(f for f in files if PurePath(f).suffix.lower() in known and f[0] != ".")
    if not keys:
        return None
    name = Path(settings.source).resolve().name.split(".")[0] or "data"
    return Catalog(name, (), {"all": ImageList(source, keys, (0,) * len(keys))})


def _opened(path: Path) -> FileSource | None:
    """A folder without folders or an archive; None for anything else."""
    if path.is_dir():
        return None if any(inside.is_dir() for inside in path.iterdir()) else Folder(path)
    if not path.is_file():
        return None
    if zipfile.is_zipfile(path):
        return Zip(path)
    return Tar(path) if is_tar(path) else None
