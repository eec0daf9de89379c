"""Passes through fresh networks, made one at a time as asked for; the last ones are kept."""

from __future__ import annotations

from functools import cache, lru_cache
from threading import Lock
from time import perf_counter
from typing import NamedTuple

from fathom.data.batches import Batch
from fathom.experiments.flow import Flow, first_images, flow
from fathom.experiments.fresh import Fresh, fresh_network
from fathom.experiments.paths import gradients_by_length, shares
from fathom.models.base import ImageClassifier

DATA = "digits"
FEW = 4  # images whose paths are followed, with a gradient for every length
_KEPT = 64
# Fresh weights are drawn from the generator of the process, and two cards may ask for one pass.
_ONE_AT_A_TIME = Lock()


class Passed(NamedTuple):
    """A pass of a network, and the seconds that it and the building took."""

    flow: Flow
    seconds: float


@cache
def looked_at() -> Batch:
    """The images that all passes are made with."""
    return first_images(DATA)


def _build(fresh: Fresh, seed: int) -> ImageClassifier:
    batch = looked_at()
    classes = len(set(batch.targets.tolist()))  # which take turns, so that all of them are there
    return fresh_network(fresh, seed, num_classes=classes, in_channels=batch.images.shape[1])


@lru_cache(maxsize=_KEPT)
def _pass(fresh: Fresh, seed: int) -> Passed:
    batch, began = looked_at(), perf_counter()
    found = flow(_build(fresh, seed), batch.images.double(), batch.targets)
    return Passed(found, perf_counter() - began)


def passed(fresh: Fresh, seed: int) -> Passed:
    """One pass through a fresh network, forward and back; the last ones are kept."""
    with _ONE_AT_A_TIME:
        return _pass(fresh, seed)


class Walked(NamedTuple):
    """The share of the gradient by the number of branches on its path, and the seconds it took."""

    shares: tuple[float, ...]
    seconds: float


@lru_cache(maxsize=_KEPT)
def _walk(fresh: Fresh, seed: int) -> Walked:
    batch, began = looked_at(), perf_counter()
    images, targets = batch.images[:FEW].double(), batch.targets[:FEW]
    found = shares(gradients_by_length(_build(fresh, seed), images, targets))
    return Walked(tuple(found), perf_counter() - began)


def walked(fresh: Fresh, seed: int) -> Walked:
    """The paths of a fresh residual network; the last ones are kept."""
    with _ONE_AT_A_TIME:
        return _walk(fresh, seed)
