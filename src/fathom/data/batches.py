"""Batches for training and evaluation.

What a training step sees depends on the seed and the step's number alone: the order of an epoch,
the crop and the policy of an image at a visit, and the flips of a step each come from a generator
seeded by name. So a run resumes in the middle of an epoch by starting at a step, whatever the
number of workers.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fathom.data.augment import augment_batch
from fathom.data.catalog import ImageList
from fathom.data.crops import random_crop_view, random_scaled_view
from fathom.data.decode import BadImageError, Pixels
from fathom.data.load import Dataset, Split
from fathom.data.mixing import mix_batch
from fathom.data.order import BalancedOrder, Order
from fathom.data.policies import Change, apply_policy, draw_changes
from fathom.data.settings import AugmentSettings, ResizedCrop, ScaleCrop
from fathom.data.views import centre_view, random_box, random_resized_view
from fathom.errors import UserError, require
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, available_cores, derive_seed, generator


@dataclass(frozen=True)
class Batch:
    """(N, C, S, S) float32 images and their targets on the device of the run.

    targets are (N,) int64 classes; in training with augment.mix they are always (N, K) float32 rows
    that sum to one, also where no image was mixed. Labels are never smoothed here. positions are
    the images' places in their split; broken names the files left out of the batch.
    """

    images: Tensor
    targets: Tensor
    positions: Tensor
    broken: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Drawn:
    """What chance gives one image, for itself, at one visit.

    position: its place in the split; part: left, top, right and bottom of the part of the picture
    that is cut from the file, in its own pixels, None where nothing is; changes: those of the
    policy, with their strengths, in order.
    """

    position: int
    part: tuple[float, float, float, float] | None
    changes: tuple[Change, ...]


class TrainingBatches:
    """Augmented batches of the training split, from any step on.

    image_size is the side of crops from files, that of evaluation unless given; such crops are cut
    from the files, also where finished views are kept in memory for other uses. sampling "balanced"
    draws each class equally often. Raises UserError for settings without effect on these images.
    """

    def __init__(
        self,
        dataset: Dataset,
        augment: AugmentSettings,
        *,
        batch_size: int,
        seed: int,
        runtime: Runtime,
        workers: int | str,
        sampling: Literal["shuffled", "balanced"] = "shuffled",
        image_size: int | None = None,
    ) -> None:
        split = dataset.splits["train"]
        if batch_size > len(split.images):
            raise UserError(
                f"batch_size {batch_size} is larger than the {len(split.images)} training images; "
                f"use --batch-size {len(split.images)} or less"
            )
        _check_channels(augment, dataset.preprocess.channels)
        self.order: Order | BalancedOrder
        if sampling == "balanced":
            self.order = BalancedOrder(split.images.targets, batch_size, seed)
        else:
            self.order = Order(len(split.images), batch_size, seed, augment.repeats)
        self._split = split
        self._targets = split.targets
        self._num_classes = len(dataset.class_names)
        self._preprocess = dataset.preprocess
        self._augment = augment
        size = image_size or dataset.preprocess.image_size
        self._look = _Look(augment, dataset.preprocess, size, seed)
        # Mirrored at even visits, if flips alternate; the others at odd ones.
        self._first = torch.rand(len(split.images), generator=generator(seed, "mirror")) < 0.5
        self._seed = seed
        self._runtime = runtime
        self._workers = loader_workers(workers, runtime)

    def start(self, step: int) -> Iterator[Batch]:
        """Batches of step, step + 1, ... without end."""
        if self._split.views is None or self._augment.from_files:
            yield from self._decoded(step)
            return
        device, views, policy = self._runtime.device, self._split.views, self._augment.policy
        if policy is None and _fits(views, device):
            views = views.to(device)
        for number, visits, positions in self.order.steps(step):
            keys = torch.stack((visits, positions), 1)
            picked = views[positions.to(views.device)]
            if policy is not None:
                pairs = zip(picked, keys.tolist(), strict=True)
                picked = torch.stack([self._look.changed(view, *key) for view, key in pairs])
            yield self._finish(number, picked.to(device), keys)

    def drawn(self, step: int) -> tuple[Drawn, ...]:
        """What chance gives each image of a step, one by one, in the order of its batch; of those
        that are read on the fly the headers are read. Draws for the whole batch are not told."""
        _, visits, positions = next(self.order.steps(step))
        pairs = zip(visits.tolist(), positions.tolist(), strict=True)
        return tuple(self._look.drawn(self._split.images, *pair) for pair in pairs)

    def _decoded(self, step: int) -> Iterator[Batch]:
        dataset = _Decoded(self._split.images, self._preprocess, self._look)
        stream = _stream(dataset, _Keys(self.order, step), self._workers, self._runtime)
        for number, (views, keys, broken) in enumerate(stream, step):
            if not len(keys):
                raise UserError(
                    f"none of the {len(broken)} images of step {number} could be read; the first "
                    f"is {_first_broken(broken)}"
                )
            yield self._finish(number, views, keys, broken)

    def _finish(
        self, step: int, views: Tensor, keys: Tensor, broken: tuple[tuple[str, str], ...] = ()
    ) -> Batch:
        """Everything that is done to the batch as a whole."""
        rng = generator(self._seed, "augment", step)
        augment, (visits, positions) = self._augment, keys.unbind(1)
        mirrored = self._first[positions] ^ (visits % 2 == 1)
        images = augment_batch(views, augment, self._preprocess, rng, mirrored=mirrored)
        targets = self._targets[positions].to(images.device)
        if augment.mix is not None:
            images, targets = mix_batch(
                images, targets, augment.mix, num_classes=self._num_classes, rng=rng
            )
        return Batch(images, targets, positions, broken)


def _check_channels(augment: AugmentSettings, channels: int) -> None:
    """Refuse changes of colour that gray images do not show."""
    require(
        channels == 3 or not augment.lighting,
        f"augment.lighting is {augment.lighting:g} and shifts red, green and blue, but the images "
        "are gray; set augment.lighting=0, or data.channels=3",
    )
    jitter = augment.jitter
    require(
        channels == 3 or jitter is None or jitter.brightness > 0 or jitter.contrast > 0,
        "augment.jitter changes only saturation and hue, which gray images lack; set its "
        "brightness or contrast, or augment.jitter=none",
    )


@dataclass(frozen=True)
class _Look:
    """One image at one visit: its crop from the file, where the recipe asks for one, and policy."""

    augment: AugmentSettings
    preprocess: Preprocess
    image_size: int
    seed: int

    def at(self, pixels: Pixels, visit: int, position: int) -> Tensor:
        """(H, W, C) uint8 -> (C, S, S) uint8."""
        crop, view = self.augment.crop, self.preprocess
        rng = self._rng("crop", visit, position)
        if isinstance(crop, ResizedCrop):
            cut = random_resized_view(
                pixels, self.image_size, view.interpolation, crop=crop, rng=rng
            )
        elif isinstance(crop, ScaleCrop):
            cut = random_scaled_view(
                pixels, self.image_size, view.interpolation, crop=crop, rng=rng
            )
        else:
            cut = centre_view(pixels, view.image_size, view.resize, view.interpolation)
        return self.changed(cut, visit, position)

    def changed(self, view: Tensor, visit: int, position: int) -> Tensor:
        """(C, S, S) uint8 -> (C, S, S) uint8: the policy alone."""
        policy = self.augment.policy
        if policy is None:
            return view
        return apply_policy(view, policy, self._rng("policy", visit, position))

    def drawn(self, images: ImageList, visit: int, position: int) -> Drawn:
        """What `at` draws for an image of this list."""
        crop, policy, part, changes = self.augment.crop, self.augment.policy, None, list[Change]()
        if isinstance(crop, ResizedCrop | ScaleCrop):
            header = images.source.header(images.keys[position])
            part = self._part(header.height, header.width, crop, self._rng("crop", visit, position))
        if policy is not None:
            size = self.preprocess.image_size if part is None else self.image_size
            changes = draw_changes(policy, size, size, self._rng("policy", visit, position))
        return Drawn(position, part, tuple(changes))

    def _part(
        self, height: int, width: int, crop: ResizedCrop | ScaleCrop, rng: random.Random
    ) -> tuple[float, float, float, float]:
        if isinstance(crop, ResizedCrop):
            left, top, wide, tall = random_box(height, width, crop, rng)
            return left, top, left + wide, top + tall
        view = random_crop_view(height, width, self.image_size, crop=crop, rng=rng)
        pixel = min(height, width) / view.scale
        left, top, right, bottom = view.box
        return left * pixel, top * pixel, right * pixel, bottom * pixel

    def _rng(self, purpose: str, visit: int, position: int) -> random.Random:
        return random.Random(derive_seed(self.seed, purpose, visit, position))


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
    dataset = _Decoded(split.images, preprocess)
    batches = [[(0, int(p)) for p in chunk] for chunk in chunks]
    stream = _stream(dataset, batches, loader_workers(workers, runtime), runtime)
    for views, keys, broken in _without_empty(stream):
        positions = keys[:, 1]
        chosen = targets[positions].to(device)
        yield Batch(preprocess.normalise(views), chosen, positions, broken)


def _without_empty(stream: Iterator[_Collated]) -> Iterator[_Collated]:
    """The batches that have images; the broken files of one without go with a batch beside it.

    Raises UserError when no batch has any.
    """
    views, keys, broken = next(stream)
    for following in stream:
        if len(following[1]) and len(keys):
            yield views, keys, broken
            views, keys, broken = following
        else:
            views, keys = (views, keys) if len(keys) else following[:2]
            broken += following[2]
    if not len(keys):
        raise UserError(
            f"none of {len(broken)} images could be read; the first is {_first_broken(broken)}"
        )
    yield views, keys, broken


def _first_broken(broken: Sequence[tuple[str, str]]) -> str:
    return f"{broken[0][0]}: {broken[0][1]}. Are the data still where they were?"


def loader_workers(workers: int | str, runtime: Runtime) -> int:
    """Loader processes: as asked, else all cores beside a GPU, and a quarter of them (none on three
    cores or fewer) beside a CPU that also computes."""
    if isinstance(workers, int):
        return workers
    cores = available_cores()
    return cores // 4 if runtime.device.type == "cpu" else min(cores, 16)


Key = tuple[int, int]  # visit and position


class _Keys:
    """Batches of keys for the loader, without end."""

    def __init__(self, order: Order | BalancedOrder, start: int) -> None:
        self.order = order
        self.start = start

    def __iter__(self) -> Iterator[list[Key]]:
        for _, visits, positions in self.order.steps(self.start):
            yield list(zip(visits.tolist(), positions.tolist(), strict=True))


class _Decoded(TorchDataset[Any]):
    """Key -> (key, (C, S, S) uint8 view), or (key, name, reason); the evaluated view without a
    look."""

    def __init__(
        self, images: ImageList, preprocess: Preprocess, look: _Look | None = None
    ) -> None:
        self.images = images
        self.preprocess = preprocess
        self.look = look

    def __getitem__(self, key: Key) -> tuple[Key, Tensor] | tuple[Key, str, str]:
        name, view = self.images.keys[key[1]], self.preprocess
        try:
            pixels = self.images.source.pixels(name, view.channels)
        except BadImageError as error:
            return key, name, str(error)
        if self.look is not None:
            return key, self.look.at(pixels, *key)
        return key, centre_view(pixels, view.image_size, view.resize, view.interpolation)


_Collated = tuple[Tensor, Tensor, tuple[tuple[str, str], ...]]


def _collate(items: Sequence[tuple[Any, ...]]) -> _Collated:
    """Views (N, C, S, S), keys (N, 2), and the (name, reason) of files that broke."""
    good = [item for item in items if len(item) == 2]
    broken = tuple((item[1], item[2]) for item in items if len(item) == 3)
    views = torch.stack([view for _, view in good]) if good else torch.empty(0)
    keys = torch.tensor([key for key, _ in good], dtype=torch.int64).reshape(-1, 2)
    return views, keys, broken


def _ignore_interrupts(_: int) -> None:
    """Ctrl-C reaches every process of the terminal; workers leave it to the trainer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _stream(dataset: _Decoded, batches: Any, workers: int, runtime: Runtime) -> Iterator[_Collated]:
    """Decode batches of keys in order, in worker processes where there are any."""
    on_gpu = runtime.device.type == "cuda"
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=_collate,
        pin_memory=on_gpu,
        worker_init_fn=_ignore_interrupts,
        prefetch_factor=4 if workers else None,
        generator=generator("loader"),  # else it draws from the global one
    )
    for views, keys, broken in loader:
        yield views.to(runtime.device, non_blocking=on_gpu), keys, broken
