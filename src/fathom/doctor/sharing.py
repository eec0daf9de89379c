"""What reading the images shows: whether splits share some, whether validation images move, and
whether workers draw the same augmentations."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from fathom.data.catalog import ImageList
from fathom.data.load import Dataset
from fathom.doctor.feed import Sample, at_places
from fathom.runtime import generator

_TWICE = 32  # images that are read twice
_FILES = 50_000  # beyond these, sizes alone would take long
_STILL = 1e-3  # of the spread of the values, by which two readings of one image may differ
_FLAT = 0.01  # of the spread of all images
_PROBES = 8  # places that two workers are asked for


def moves(loader: DataLoader[Any], seen: Sample, *, dataset: Any = None) -> float:
    """The share of the first 32 images that come out otherwise when they are read again."""
    assert seen.places is not None
    again = at_places(loader, seen.places[:_TWICE], dataset=dataset)
    if again is None or again.images.shape[1:] != seen.images.shape[1:]:
        return 1.0
    count = len(again.images)
    apart = (again.images.float() - seen.images[:count].float()).abs().flatten(1).amax(1)
    return float((apart > _STILL * seen.images.float().std()).float().mean())


def blank(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N,) whether an image is of one colour."""
    values = images.float()
    return values.flatten(2).std(2, correction=0).amax(1) <= _FLAT * values.std()


def same_streams(loader: DataLoader[Any]) -> bool | None:
    """Whether two fresh workers draw the same for the same images, though each draws anew for
    itself; None where the data set draws nothing at all.

    Both are asked for the same places twice. The loader and its data set stay as they are: workers
    are processes, and have copies.
    """
    places = list(range(min(_PROBES, len(loader.dataset))))  # type: ignore[arg-type]
    asked = [place for _ in range(2) for place in places for _worker in range(2)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # on a single core
        found = DataLoader(
            loader.dataset,
            batch_size=1,
            sampler=asked,
            num_workers=2,
            collate_fn=_image_of,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=generator("loader"),
        )
        images = list(found)
    first, second = images[::2], images[1::2]
    half = len(places)
    if all(torch.equal(a, b) for a, b in zip(first[:half], first[half:], strict=True)):
        return None
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def _image_of(items: list[Any]) -> Tensor:
    image = items[0][0] if isinstance(items[0], tuple | list) else items[0]
    return image if isinstance(image, Tensor) else torch.from_numpy(np.asarray(image).copy())


# Images that stand in both splits.


def leaked(train: Iterable[Hashable], val: Sequence[Hashable]) -> list[int]:
    """Keys of images -> the places of the validation images whose key a training image has; None
    stands for images that tell nothing, as blank ones."""
    known = set(train)
    return [place for place, key in enumerate(val) if key is not None and key in known]


def stored_keys(train: Any, val: Any) -> tuple[list[Hashable], list[Hashable]] | None:
    """Of two data sets that hold their images, or their files' paths: a key of each image's
    content, free of any augmentation. None where nothing of the kind is found."""
    (train, wanted), (val, judged) = _inner(train), _inner(val)
    rows, others = _rows(train), _rows(val)
    if rows is not None and others is not None:
        return (
            [digest(rows[place]) for place in wanted],
            [digest(others[place]) for place in judged],
        )
    paths, theirs = _paths(train), _paths(val)
    if paths is None or theirs is None or len(wanted) + len(judged) > _FILES:
        return None
    sides = [paths[place] for place in wanted], [theirs[place] for place in judged]
    return _file_keys(*sides, size=_file_size, digest=_file_digest)


def _file_keys(
    train: Sequence[str],
    val: Sequence[str],
    *,
    size: Callable[[str], int],
    digest: Callable[[str], Hashable],
) -> tuple[list[Hashable], list[Hashable]]:
    """Only files of a size that both splits have are read."""
    sizes = [size(path) for path in train], [size(path) for path in val]
    both = set(sizes[0]) & set(sizes[1])
    first, second = (
        [(s, digest(path)) if s in both else None for s, path in zip(of, paths, strict=True)]
        for of, paths in zip(sizes, (train, val), strict=True)
    )
    return list(first), list(second)


def _inner(dataset: Any) -> tuple[Any, list[int]]:
    """A data set without `Subset` around it, and the places that are used."""
    if not isinstance(dataset, Subset):
        return dataset, list(range(len(dataset)))
    inner, places = _inner(dataset.dataset)
    return inner, [places[place] for place in dataset.indices]


def _rows(dataset: Any) -> Tensor | None:
    """The images as the data set holds them: a tensor or an array with a row for each."""
    held = [*vars(dataset).values(), *getattr(dataset, "tensors", ())]
    for value in held:
        if isinstance(value, np.ndarray) and value.dtype != object:
            value = torch.from_numpy(value)
        if isinstance(value, Tensor) and value.dim() >= 3 and len(value) == len(dataset):
            return value
    return None


def _paths(dataset: Any) -> list[str] | None:
    """The files of the images: a list of paths, or of tuples that begin with one."""
    for value in vars(dataset).values():
        if isinstance(value, list) and len(value) == len(dataset) and value:
            firsts = [item[0] if isinstance(item, tuple) else item for item in value]
            if isinstance(firsts[0], str | Path) and Path(firsts[0]).is_file():
                return list(map(str, firsts))
    return None


def digest(row: Tensor) -> Hashable:
    """A key of an image's content; None for an image of one value."""
    if bool((row == row.flatten()[0]).all()):
        return None
    return blake2b(row.detach().cpu().contiguous().numpy().tobytes(), digest_size=16).digest()


def _file_size(path: str) -> int:
    return Path(path).stat().st_size


def _file_digest(path: str) -> Hashable:
    return blake2b(Path(path).read_bytes(), digest_size=16).digest()


def leaked_in(dataset: Dataset, split: str) -> tuple[list[str], int]:
    """Fathom's own data -> names of the images of a split that are training images, too, and how
    many were looked for: by the views in memory, else by the files' checksums."""
    train, val = dataset.splits["train"], dataset.splits[split]
    if train.views is not None and val.views is not None:
        keys = [digest(view) for view in train.views], [digest(view) for view in val.views]
    elif len(train.images) + len(val.images) <= _FILES:
        source = train.images.source, val.images.source
        if type(source[0]) is not type(source[1]):  # checksums of others mean something else
            return [], 0
        known = {source[0].size(key) for key in train.images.keys}
        both = known & {source[1].size(key) for key in val.images.keys}
        keys = _sums(train.images, both), _sums(val.images, both)
    else:
        return [], 0
    found = leaked(*keys)
    return [val.images.keys[place] for place in found], len(val.images)


def _sums(images: ImageList, sizes: set[int]) -> list[Hashable]:
    """The checksums of images of these sizes; only they are read."""
    source = images.source
    return [
        source.checksum(key, whole=True) if source.size(key) in sizes else None
        for key in images.keys
    ]
