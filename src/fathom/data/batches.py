"""Batches for training and evaluation.

What a training step sees depends on the seed and the step's number alone: the order of an epoch,
the crop of an image in an epoch and the flips of a step each come from a generator seeded by name.
So a run resumes in the middle of an epoch by starting at a step, whatever the number of workers.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fathom.data.augment import augment_batch
from fathom.data.catalog import ImageList
from fathom.data.decode import BadImageError
from fathom.data.load import Dataset, Split
from fathom.data.settings import AugmentSettings, ResizedCrop
from fathom.data.views import centre_view, random_resized_view
from fathom.errors import UserError
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, available_cores, derive_seed, generator


@dataclass(frozen=True)
class Batch:
    """(N, C, S, S) float32 images and (N,) int64 targets on the device of the run.

    positions are the images' places in their split; broken names the files left out of the batch.
    """

    images: Tensor
    targets: Tensor
    positions: Tensor
    broken: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Order:
    """The endless order in which images are trained on: a new permutation every epoch.

    The last len % batch_size images of a permutation are left out, so that no step trains on a
    batch of another size.
    """

    count: int
    batch_size: int
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps that one epoch takes."""
        return self.count // self.batch_size

    def steps(self, start: int) -> Iterator[tuple[int, int, Tensor]]:
        """(step, epoch, positions) from step `start` on, without end."""
        step = start
        while True:
            epoch, first = divmod(step, self.steps_per_epoch)
            order = torch.randperm(self.count, generator=generator(self.seed, "order", epoch))
            for place in range(first, self.steps_per_epoch):
                begin = place * self.batch_size
                yield step, epoch, order[begin : begin + self.batch_size]
                step += 1


class TrainingBatches:
    """Augmented batches of the training split, from any step on."""

    def __init__(
        self,
        dataset: Dataset,
        augment: AugmentSettings,
        *,
        batch_size: int,
        seed: int,
        runtime: Runtime,
        workers: int | str,
    ) -> None:
        split = dataset.splits["train"]
        if batch_size > len(split.images):
            raise UserError(
                f"batch_size {batch_size} is larger than the {len(split.images)} training images; "
                f"use --batch-size {len(split.images)} or less"
            )
        self.order = Order(len(split.images), batch_size, seed)
        self._split = split
        self._preprocess = dataset.preprocess
        self._augment = augment
        self._seed = seed
        self._runtime = runtime
        self._workers = loader_workers(workers, runtime)

    def start(self, step: int) -> Iterator[Batch]:
        """Batches of step, step + 1, ... without end."""
        if self._split.views is None:
            yield from self._decoded(step)
            return
        device, views = self._runtime.device, self._split.views
        if _fits(views, device):
            views = views.to(device)
        targets = self._split.targets.to(views.device)
        for number, _, positions in self.order.steps(step):
            chosen = positions.to(views.device)
            picked, labels = views[chosen].to(device), targets[chosen].to(device)
            yield self._finish(number, picked, labels, positions)

    def _decoded(self, step: int) -> Iterator[Batch]:
        dataset = _Decoded(self._split.images, self._preprocess, self._augment, self._seed)
        targets = self._split.targets
        stream = _stream(dataset, _Keys(self.order, step), self._workers, self._runtime)
        for number, (views, positions, broken) in enumerate(stream, step):
            if not len(positions):
                raise UserError(
                    f"none of the {len(broken)} images of step {number} could be read; the first "
                    f"is {_first_broken(broken)}"
                )
            chosen = targets[positions].to(self._runtime.device)
            yield self._finish(number, views, chosen, positions, broken)

    def _finish(
        self,
        step: int,
        views: Tensor,
        targets: Tensor,
        positions: Tensor,
        broken: tuple[tuple[str, str], ...] = (),
    ) -> Batch:
        rng = generator(self._seed, "augment", step)
        images = augment_batch(views, self._augment, self._preprocess, rng)
        return Batch(images, targets, positions, broken)


def _fits(views: Tensor, device: torch.device) -> bool:
    """Whether all views may live on the device and leave three quarters of its memory free."""
    return device.type != "cuda" or views.nbytes <= torch.cuda.mem_get_info(device)[0] // 4


def evaluation_batches(
    split: Split, preprocess: Preprocess, *, batch_size: int, runtime: Runtime, workers: int | str
) -> Iterator[Batch]:
    """The images of a split once, in order, through exactly the stored evaluation view."""
    chunks = torch.split(torch.arange(len(split.images)), batch_size)
    device = runtime.device
    targets = split.targets
    if split.views is not None:
        for positions in chunks:
            views = split.views[positions[0] : positions[-1] + 1].to(device)
            yield Batch(preprocess.normalise(views), targets[positions].to(device), positions)
        return
    dataset = _Decoded(split.images, preprocess, None, 0)
    keys = [[(0, int(p)) for p in chunk] for chunk in chunks]
    stream = _stream(dataset, keys, loader_workers(workers, runtime), runtime)
    for views, positions, broken in _without_empty(stream):
        chosen = targets[positions].to(device)
        yield Batch(preprocess.normalise(views), chosen, positions, broken)


def _without_empty(stream: Iterator[_Collated]) -> Iterator[_Collated]:
    """The batches that have images; the broken files of one without go with a batch beside it.

    Raises UserError when no batch has any.
    """
    views, positions, broken = next(stream)
    for following in stream:
        if len(following[1]) and len(positions):
            yield views, positions, broken
            views, positions, broken = following
        else:
            views, positions = (views, positions) if len(positions) else following[:2]
            broken += following[2]
    if not len(positions):
        raise UserError(
            f"none of {len(broken)} images could be read; the first is {_first_broken(broken)}"
        )
    yield views, positions, broken


def _first_broken(broken: Sequence[tuple[str, str]]) -> str:
    return f"{broken[0][0]}: {broken[0][1]}. Are the data still where they were?"


def loader_workers(workers: int | str, runtime: Runtime) -> int:
    """Loader processes: as asked, else all cores beside a GPU, and a quarter of them (none on three
    cores or fewer) beside a CPU that also computes."""
    if isinstance(workers, int):
        return workers
    cores = available_cores()
    return cores // 4 if runtime.device.type == "cpu" else min(cores, 16)


class _Keys:
    """Batches of (epoch, position) keys for the loader, without end."""

    def __init__(self, order: Order, start: int) -> None:
        self.order = order
        self.start = start

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for _, epoch, positions in self.order.steps(self.start):
            yield [(epoch, int(p)) for p in positions]


class _Decoded(TorchDataset[Any]):
    """(epoch, position) -> (position, (C, S, S) uint8 view), or (position, name, reason)."""

    def __init__(
        self,
        images: ImageList,
        preprocess: Preprocess,
        augment: AugmentSettings | None,
        seed: int,
    ) -> None:
        self.images = images
        self.preprocess = preprocess
        self.crop = augment.crop if augment else None
        self.seed = seed

    def __getitem__(self, key: tuple[int, int]) -> tuple[int, Tensor] | tuple[int, str, str]:
        epoch, position = key
        name, view = self.images.keys[position], self.preprocess
        try:
            pixels = self.images.source.pixels(name, view.channels)
        except BadImageError as error:
            return position, name, str(error)
        if isinstance(self.crop, ResizedCrop):
            rng = random.Random(derive_seed(self.seed, "crop", epoch, position))
            return position, random_resized_view(
                pixels, view.image_size, view.interpolation, crop=self.crop, rng=rng
            )
        return position, centre_view(pixels, view.image_size, view.resize, view.interpolation)


_Collated = tuple[Tensor, Tensor, tuple[tuple[str, str], ...]]


def _collate(items: Sequence[tuple[Any, ...]]) -> _Collated:
    """Views (N, C, S, S), positions (N,), and the (name, reason) of files that broke."""
    good = [item for item in items if len(item) == 2]
    broken = tuple((item[1], item[2]) for item in items if len(item) == 3)
    views = torch.stack([view for _, view in good]) if good else torch.empty(0)
    return views, torch.tensor([position for position, _ in good], dtype=torch.int64), broken


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; workers leave it to the trainer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stream(dataset: _Decoded, keys: Any, workers: int, runtime: Runtime) -> Iterator[_Collated]:
    """Decode batches of keys in order, in worker processes where there are any."""
    on_gpu = runtime.device.type == "cuda"
    loader = DataLoader(
        dataset,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=on_gpu,
        worker_init_fn=_ignore_interrupts,
        prefetch_factor=4 if workers else None,
        generator=generator("loader"),  # else it draws from the global one
    )
    for views, positions, broken in loader:
        yield views.to(runtime.device, non_blocking=on_gpu), positions, broken
