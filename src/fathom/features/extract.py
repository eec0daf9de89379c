"""Images -> what a pretrained network makes of them, in parts that come one after another.

Images come in a balanced order, so that whoever stops at a deadline has as many of every class.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fathom.data.batches import loader_workers
from fathom.data.decode import BadImageError, Pixels, decode
from fathom.data.load import BadImage, Split
from fathom.data.settings import ResizedCrop
from fathom.data.sources import FileSource
from fathom.data.views import centre_view, random_resized_view
from fathom.errors import UserError, require
from fathom.evaluate import autocast
from fathom.features.fold import folded
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, derive_seed, generator

_ROWS = {"cpu": 32, "cuda": 256}  # pictures at once; on a CPU 16, 32 and 64 are equally fast
_CROP = ResizedCrop(min_area=0.5)


@dataclass(frozen=True)
class Looks:
    """What is computed of every image.

    views: looks at each, the evaluation view first; then, where flip allows mirroring, its mirror
    image; then random crops of half of the area or more, mirrored or not where flip allows it.
    stages, logits: whether the maps of the stages and the network's own classifier are kept, too.
    seed: chooses the order of the images and the crops.
    """

    views: int = 1
    flip: bool = False
    stages: bool = True
    logits: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.views >= 1, f"views is {self.views}; it must be at least 1")

    @property
    def centred(self) -> bool:
        """Whether every view is the evaluation view or its mirror image."""
        return self.views <= (2 if self.flip else 1)


@dataclass(frozen=True)
class Features:
    """What a network makes of M images in V views: N = V * M rows, all of view 0 first.

    values: (N, D) float32, what the linear classifier at the end of its head is given. stages:
    (N, C_i) float32 for each stage, its map averaged over all places; empty where not asked for.
    logits: (N, K) float32 of the network's own classifier, None where not asked for. targets,
    positions: (N,) int64 class and place in the split. bad: files that were left out.
    """

    values: Tensor
    stages: tuple[Tensor, ...]
    logits: Tensor | None
    targets: Tensor
    positions: Tensor
    views: int
    bad: tuple[BadImage, ...] = ()

    @property
    def num_images(self) -> int:
        """M, how many images these are, without those left out."""
        return len(self.values) // self.views


def balanced_order(targets: Sequence[int], seed: int) -> Tensor:
    """(M,) targets -> (M,) positions: one of each class in turn, as long as there are any.

    Images of a class come in a random order, and so do the classes of each turn.
    """
    shuffled = torch.randperm(len(targets), generator=generator(seed, "order of features"))
    classes = torch.tensor(targets)[shuffled]
    sizes = classes.bincount()
    by_class = classes.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    turns = torch.empty_like(classes)
    turns[by_class] = torch.arange(len(targets)) - starts.repeat_interleave(sizes)
    return shuffled[turns.argsort(stable=True)]


def first_of(split: Split, count: int) -> Split:
    """The first images of a split in an order in which the classes take turns, seed 0."""
    if count >= len(split.images):
        return split
    chosen = balanced_order(split.images.targets, 0)[:count].tolist()
    views = None if split.views is None else split.views[chosen]
    return Split(split.images.take(chosen), views)


def extract(
    model: ImageClassifier,
    split: Split,
    preprocess: Preprocess,
    looks: Looks = Looks(),
    *,
    runtime: Runtime,
    role: str = "all",
    workers: int | str = "auto",
    start: int = 0,
) -> Iterator[Features]:
    """A network and the images of a split -> their features, some images at a time.

    Each file is decoded once for all of its views. Views that the split keeps in memory, which must
    be those of preprocess, are used where no crops are wanted. The network is not changed; it works
    in evaluation mode with its norms folded.

    Args:
        preprocess: the evaluation view.
        runtime: where and how precisely; call this inside `configured(runtime)`.
        role: the name of the split, for files left out.
        workers: processes that decode, or auto.
        start: places of the order to leave out, those that earlier parts and their bad files hold.

    A broken file is left out and named in the part in which its turn comes; a part of such files
    alone has no rows, and tensors without shape.
    """
    network = folded(model).to(runtime.device).to(memory_format=torch.channels_last)
    order = balanced_order(split.images.targets, looks.seed)[start:].tolist()
    rows = max(1, _ROWS.get(runtime.device.type, 32) // looks.views)
    turns = [order[i : i + rows] for i in range(0, len(order), rows)]
    pictures, targets = _Pictures(split, preprocess, looks), split.targets
    for items in _looked_at(pictures, turns, runtime, workers):
        good = [(position, views) for position, views in items if isinstance(views, Tensor)]
        bad = [(position, why) for position, why in items if isinstance(why, str)]
        values, stages, logits = _run(network, [v for _, v in good], preprocess, looks, runtime)
        positions = torch.tensor([p for p, _ in good], dtype=torch.int64).repeat(looks.views)
        yield Features(
            values=values,
            stages=stages,
            logits=logits,
            targets=targets[positions],
            positions=positions,
            views=looks.views,
            bad=tuple(BadImage(role, split.images.keys[p], why) for p, why in bad),
        )


def gather(parts: Sequence[Features]) -> Features:
    """Parts of one extraction as one, all rows of view 0 first.

    Raises UserError where no image could be read.
    """
    bad = tuple(image for part in parts for image in part.bad)
    full = [part for part in parts if part.num_images]
    if not full:
        first = f"; the first: {bad[0].name}: {bad[0].reason}" if bad else ""
        raise UserError(f"none of {len(bad)} images is readable{first}")
    views = full[0].views

    def joined(tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([t.reshape(views, -1, *t.shape[1:]) for t in tensors], 1).flatten(0, 1)

    logits = [part.logits for part in full if part.logits is not None]
    return Features(
        values=joined(part.values for part in full),
        stages=tuple(joined(maps) for maps in zip(*(part.stages for part in full), strict=True)),
        logits=joined(logits) if logits else None,
        targets=joined(part.targets for part in full),
        positions=joined(part.positions for part in full),
        views=views,
        bad=bad,
    )


def _run(
    network: ImageClassifier,
    views: Sequence[Tensor],
    preprocess: Preprocess,
    looks: Looks,
    runtime: Runtime,
) -> tuple[Tensor, tuple[Tensor, ...], Tensor | None]:
    """(V, C, S, S) uint8 of each image -> values, pooled stages and logits as `Features` has them.

    Stage by stage, so that a map is let go as soon as the next one is there.
    """
    if not views:
        return torch.empty(0), (), None
    images = preprocess.normalise(torch.stack(list(views), 1).flatten(0, 1).to(runtime.device))
    network.check(images)
    pooled = []
    with torch.inference_mode(), autocast(runtime):
        maps = network.stem(images)
        for stage in network.stages:
            maps = stage(maps)
            if looks.stages:
                pooled.append(maps.float().mean((2, 3)))
        values = network.head[:-1](maps).float()
        logits = network.head[-1](values).float().cpu() if looks.logits else None
    return values.cpu(), tuple(p.cpu() for p in pooled), logits


_Item = tuple[int, Tensor | str]


class _Pictures(TorchDataset[_Item]):
    """Position -> (position, its (V, C, S, S) uint8 views, or why there are none)."""

    def __init__(self, split: Split, preprocess: Preprocess, looks: Looks) -> None:
        self.split, self.preprocess, self.looks = split, preprocess, looks
        self.held = split.views if looks.centred else None

    def __len__(self) -> int:
        return len(self.split.images)

    def __getitem__(self, position: int) -> _Item:
        try:
            views = self._views(position)
        except BadImageError as error:
            return position, str(error)
        # NumPy's, as PyTorch would start threads of its own in each of the threads that call this.
        return position, torch.from_numpy(np.stack(views))

    def _views(self, position: int) -> list[Pixels]:
        view, looks = self.preprocess, self.looks
        if self.held is None:
            pixels = self._decoded(position)
            centre = centre_view(pixels, view.image_size, view.resize, view.interpolation).numpy()
        else:
            centre = self.held[position].numpy()
        views = [centre, _mirrored(centre)] if looks.flip else [centre]
        for number in range(len(views), looks.views):
            rng = random.Random(derive_seed(looks.seed, "view", number, position))
            crop = random_resized_view(
                pixels, view.image_size, view.interpolation, crop=_CROP, rng=rng
            ).numpy()
            views.append(_mirrored(crop) if looks.flip and rng.random() < 0.5 else crop)
        return views[: looks.views]

    def _decoded(self, position: int) -> Pixels:
        source, key = self.split.images.source, self.split.images.keys[position]
        if not isinstance(source, FileSource):
            return source.pixels(key, self.preprocess.channels)
        with _READING:
            data = source.read(key)
        return decode(data, key, self.preprocess.channels)


_READING = Lock()  # zipfile's handles are not made for several threads


def _mirrored(view: Pixels) -> Pixels:
    """(C, H, W) -> the same, left and right exchanged."""
    return view[:, :, ::-1]


def _looked_at(
    pictures: _Pictures, turns: Sequence[list[int]], runtime: Runtime, workers: int | str
) -> Iterator[list[_Item]]:
    """The views of some images at a time, made by loader processes, or by threads of this one.

    On a CPU, threads that decode between two passes of the network leave no core idle, and take
    none away while the network runs.
    """
    processes = 0 if pictures.held is not None else loader_workers(workers, runtime)
    if processes:
        yield from DataLoader(
            pictures,
            batch_sampler=turns,
            num_workers=processes,
            collate_fn=list,
            generator=generator("loader"),  # else it draws from the global one
        )
        return
    with ThreadPoolExecutor(runtime.threads) as pool:
        for turn in turns:
            yield list(pool.map(pictures.__getitem__, turn))
