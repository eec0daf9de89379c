"""What the network is fed: the range of its inputs, whether they suit pretrained weights, and the
order in which labels come. And how images are read from a loader when a run is over."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from fathom.doctor.line import logits_of, untouched
from fathom.doctor.observed import Inputs, Order
from fathom.doctor.structure import BatchNorm, looked_at
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import generator
from fathom.transfer.fits import PREPARATIONS, check_fit

Loader = Iterable[Any]  # of (images, targets), perhaps with more behind them

IMAGES = 1024  # that are read of a split
SECONDS = 2.0  # that reading them may take
_CHUNK = 32
_WINDOW = 32  # labels
_LABELS = 2048
_IMAGENET_CLASSES = 1000  # of a head that came with its weights
_FEWEST = 16  # images that batch norms are asked about
_ASKED = 32
_COLOURS = 3
_ENOUGH = 32  # images of either, before what a loader gives is held against what was fed
_APART = 0.75  # of the larger deviation, between means of images that were prepared alike
_ROUNDING = 1e-3  # of the root mean square, below which a deviation may be rounding
_STRETCHED = 1.7  # between their deviations, which mixing images lowers by 1.4 at most


# Inputs.


def comes_trained(model: nn.Module) -> bool:
    """Whether a network that has not been trained here has batch norms that have learnt already."""
    norms = (m for m in model.modules() if isinstance(m, BatchNorm))
    return any(n.running_mean is not None and bool(n.running_mean.any()) for n in norms)


def read_inputs(
    model: nn.Module, images: Tensor, *, pretrained: bool, asked: int = _ASKED
) -> Inputs:
    """(N, C, H, W) images as the network is given them -> what they are like; model as it was.

    pretrained: ask batch norms that came trained whether another preparation would suit them, with
    the first images, so many are asked.
    """
    values = images.detach().float()
    channels = [d for d in range(values.dim()) if d != 1]
    found = Inputs(
        images=len(images),
        mean=values.mean(channels).tolist(),
        std=values.std(channels, correction=0).tolist(),
        low=float(values.min()),
        high=float(values.max()),
        entering=_entering(model, images),
    )
    if pretrained:
        _ask_weights(model, values[:asked], found)
    return found


class _EnteredError(Exception):
    """The first layer with weights was reached; the pass need not go on."""


def _entering(model: nn.Module, images: Tensor) -> float:
    """Root mean square of what the first layer with weights is given, past whatever normalises the
    images inside the network; 0 where none is reached."""
    found = [0.0]

    def stop(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        found[0] = float(inputs[0].detach().float().square().mean().sqrt())
        raise _EnteredError

    weighted = [m for _, m, kind in looked_at(model) if kind in ("conv", "linear")]
    handles = [m.register_forward_pre_hook(stop) for m in weighted]
    try:
        with untouched(model), torch.no_grad():
            model(images[:_FEWEST])
    except _EnteredError:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return found[0]


class _Asked(nn.Module):
    """Any network as `check_fit` wants one."""

    in_channels, min_size = _COLOURS, 32

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = False

    def check(self, _views: Tensor) -> None:
        """Images of this size and number of channels went through it before."""

    def forward(self, images: Tensor) -> Tensor:
        return logits_of(self.model(images))


def _ask_weights(model: nn.Module, images: Tensor, found: Inputs) -> None:
    """Take in whether another preparation, or order of channels, suits the weights better.

    The order is asked only of heads of 1,000 classes and more: a new head knows no class yet.
    """
    found.fed_as = prepared_as(found)
    if not found.fed_as or images.shape[1] != _COLOURS or len(images) < _FEWEST:
        return
    mean, std = PREPARATIONS[found.fed_as]
    size = images.shape[-1]
    in_use = Preprocess(size, size, _COLOURS, mean, std)
    pixels = images * images.new_tensor(std)[:, None, None] + images.new_tensor(mean)[:, None, None]
    views = (pixels * 255).round_().clamp_(0, 255).to(torch.uint8)
    with untouched(model), torch.no_grad():
        model.eval()
        fit = check_fit(cast(ImageClassifier, _Asked(model)), views, preprocess=in_use)
        classes = logits_of(model(images[:1])).shape[1]
    found.ways = {name: far for name, far in fit.misfit.items() if name != found.fed_as}
    kinds = {fault.kind for fault in fit.faults}
    if "normalisation" in kinds:
        found.better = min(found.ways, key=lambda name: found.ways[name])
    if "channel order" in kinds and fit.order is not None and classes >= _IMAGENET_CLASSES:
        found.exchanged = -fit.order.t


def prepared_as(found: Inputs) -> str:
    """The way of preparing pixels that the range of the values tells of, "" for an unusual one."""
    names = list(PREPARATIONS)
    imagenet, centred, unit, raw = names
    if found.low >= 0:
        return unit if found.high <= 1 else raw if 2 < found.high <= 255 else ""
    if found.low >= -1.01 and found.high <= 1.01:
        return centred
    return imagenet if found.low > -2.2 and found.high < 2.7 else ""


# The order of labels.


class Labelled:
    """The first 2,048 labels of a run, in the order in which training meets them."""

    def __init__(self) -> None:
        self.labels: list[int] = []

    @property
    def full(self) -> bool:
        """Whether no more are wanted."""
        return len(self.labels) >= _LABELS

    def take(self, targets: Tensor) -> Order:
        """(N,) classes of a step -> the order so far."""
        self.labels += targets[: _LABELS - len(self.labels)].tolist()
        return Order(len(self.labels), clumps(self.labels))


def clumps(labels: Sequence[int]) -> float:
    """Labels in order -> how many of them behave as one draw, from 1 to the 32 of a window.

    Pearson's chi-square of class counts in windows, over its degrees of freedom, is 1 on average
    for independent draws, and c where every draw comes c times (Rao and Scott 1981, JASA 76,
    221-230, call it the design effect). Where 2,048 labels are one class it is 32.
    """
    windows = len(labels) // _WINDOW
    if windows < 2:
        return 1.0
    table = np.zeros((windows, max(labels) + 1))
    for place, label in enumerate(labels[: windows * _WINDOW]):
        table[place // _WINDOW, label] += 1
    table = table[:, table.any(0)]
    if table.shape[1] == 1:
        return float(_WINDOW) if len(labels) >= _LABELS else 1.0
    expected = table.mean(0)
    square = ((table - expected) ** 2 / expected).sum()
    return float(square / ((windows - 1) * (table.shape[1] - 1)))


# Reading from loaders.


class Fed:
    """The images that the network was really fed: their type, and mean and deviation by channel."""

    def __init__(self) -> None:
        self.images = 0
        self.dtype: torch.dtype | None = None
        self._mean = self._square = torch.zeros(0, dtype=torch.float64)

    def take(self, images: Tensor) -> None:
        """Take in (N, C, H, W) images of a step; those of another type or form begin anew."""
        mean, square = _moments(images)
        if images.dtype != self.dtype or len(mean) != len(self._mean):
            self.images, self.dtype = 0, images.dtype
            self._mean = self._square = torch.zeros_like(mean)
        self.images += len(images)
        share = len(images) / self.images
        self._mean = self._mean.lerp(mean, share)
        self._square = self._square.lerp(square, share)

    def unlike(self, images: Tensor, *, scaled: bool = True) -> str:
        """How (N, C, H, W) images of a loader are prepared otherwise, "" where they are not, or
        nothing was fed; scaled: whether mean and deviation count."""
        if self.dtype is None:
            return ""
        if images.dtype != self.dtype:
            ours, theirs = (str(t).removeprefix("torch.") for t in (self.dtype, images.dtype))
            return f"gives {theirs} images, but the model was fed {ours}"
        known, given = len(self._mean), images.shape[1]
        if given != known:
            return f"gives images of {given} channels, but the model was fed {known}"
        return self._scaled_otherwise(images) if scaled else ""

    def _scaled_otherwise(self, images: Tensor) -> str:
        if min(self.images, len(images)) < _ENOUGH:
            return ""
        mean, square = _moments(images)
        ours, theirs = _deviation(self._mean, self._square), _deviation(mean, square)
        rounding = _ROUNDING * torch.maximum(square, self._square).sqrt()  # of a constant channel
        larger = torch.maximum(ours, theirs).maximum(rounding)
        smaller = torch.minimum(ours, theirs).maximum(rounding)
        apart = (mean - self._mean).abs() > _APART * larger
        if not bool((apart | (larger > _STRETCHED * smaller)).any()):
            return ""
        return (
            f"gives images of {_shown(mean, theirs)} (mean ± deviation by channel), but the model "
            f"was fed {_shown(self._mean, ours)}"
        )


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Means of the values and of their squares, by channel."""
    values = images.detach().float()
    return values.mean((0, 2, 3)).cpu().double(), values.square().mean((0, 2, 3)).cpu().double()


def _deviation(mean: Tensor, square: Tensor) -> Tensor:
    return (square - mean.square()).clamp_min(0).sqrt()


def _shown(mean: Tensor, std: Tensor) -> str:
    pairs = zip(mean.tolist(), std.tolist(), strict=True)
    return ", ".join(f"{m:.2f} ± {s:.2f}" for m, s in pairs)


@dataclass(frozen=True)
class Sample:
    """(N, C, H, W) images and (N,) classes of a split as a loader gives them.

    places: of the images in the data set, None where the loader is all that there is.
    """

    images: Tensor
    targets: Tensor
    places: list[int] | None

    def first(self, count: int) -> Sample:
        """Some of them."""
        places = None if self.places is None else self.places[:count]
        return Sample(self.images[:count], self.targets[:count], places)


@contextmanager
def chance_kept() -> Iterator[None]:
    """Leave the random states of PyTorch, NumPy and Python as they were; a data set that draws from
    a generator of its own draws on."""
    here, theirs = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(here)
            np.random.set_state(theirs)


def places_of(loader: Loader) -> int:
    """Images of the loader's data set where any can be asked for by its place, else 0."""
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        return 0
    return len(cast(Any, loader.dataset)) if hasattr(loader.dataset, "__len__") else 0


def sample(loader: Loader, *, images: int = IMAGES, seconds: float = SECONDS) -> Sample | None:
    """Images of a loader, drawn by seed 0 from all places where that is possible, else its first.

    None where they do not come as (N, C, H, W) images with (N,) classes.
    """
    count = places_of(loader)
    if count:
        chosen = torch.randperm(count, generator=generator(0, "doctor's sample"))[:images]
        return at_places(cast(Any, loader), chosen.tolist(), seconds=seconds)
    return _joined(until(iter(loader), images, seconds), None)


def at_places(
    loader: DataLoader[Any],
    places: list[int],
    *,
    dataset: Any = None,
    seconds: float = SECONDS,
) -> Sample | None:
    """The images at these places of a loader's data set, or of another one, put together as the
    loader does it, in this process, as far as the time goes."""
    held = loader.dataset if dataset is None else dataset
    chunks = [places[first : first + _CHUNK] for first in range(0, len(places), _CHUNK)]
    batches = (loader.collate_fn([held[place] for place in chunk]) for chunk in chunks)
    return _joined(until(batches, len(places), seconds), places)


def until(batches: Iterator[Any], images: int, seconds: float) -> Iterator[Any]:
    """The first batches that have so many images, or as many as there is time for; never none."""
    began, count = time.monotonic(), 0
    for batch in batches:
        yield batch
        count += len(batch[1]) if isinstance(batch, Sequence) else 0
        if count >= images or time.monotonic() - began > seconds:
            return


def _joined(batches: Iterator[Any], places: list[int] | None) -> Sample | None:
    images, targets = [], []
    for batch in batches:
        if not isinstance(batch, Sequence) or len(batch) < 2:
            return None
        some, wanted = batch[0], batch[1]
        if not isinstance(some, Tensor) or some.dim() != 4 or not isinstance(wanted, Tensor):
            return None
        if wanted.dim() != 1 or wanted.is_floating_point():
            return None
        images.append(some.detach().cpu())
        targets.append(wanted.cpu())
    if not images or any(some.shape[1:] != images[0].shape[1:] for some in images):
        return None
    joined = torch.cat(targets)
    return Sample(torch.cat(images), joined, None if places is None else places[: len(joined)])


def evaluated_view(train: Any, val: Any) -> Any | None:
    """The training data set seen through the transform of the validation data set: a shallow copy,
    the user's own stays as it is. None where they are not of one class that has a transform."""
    if isinstance(train, Subset):
        inner = evaluated_view(train.dataset, val.dataset if isinstance(val, Subset) else val)
        return None if inner is None else Subset(inner, train.indices)
    if isinstance(val, Subset):
        return evaluated_view(train, val.dataset)
    names = [name for name in ("transform", "transforms") if hasattr(val, name)]
    if type(train) is not type(val) or not names:
        return None
    seen = copy.copy(train)
    for name in names:
        setattr(seen, name, getattr(val, name))
    return seen
