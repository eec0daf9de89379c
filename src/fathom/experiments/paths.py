"""A residual network as many paths: what is left when some of its blocks are deleted.

Source: Veit et al. 2016, arXiv:1605.06431, Section 3: every block can be gone through or passed by,
so L blocks are 2^L paths, and deleting one leaves half of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

import torch
from torch import nn

from fathom.data.batches import Batch
from fathom.evaluate import run_model
from fathom.models.base import ImageClassifier
from fathom.runtime import Runtime, generator

Place = tuple[int, int]  # stage, block in the stage


def rows(model: ImageClassifier) -> list[nn.Sequential]:
    """The stages, each a row of blocks."""
    found = []
    for stage in model.stages:
        assert isinstance(stage, nn.Sequential)
        found.append(stage)
    return found


def removable(model: ImageClassifier) -> list[Place]:
    """The blocks that keep the shape of their maps: all but the first of every stage."""
    return [(place, block) for place, row in enumerate(rows(model)) for block in range(1, len(row))]


@contextmanager
def deleted(model: ImageClassifier, places: Sequence[Place]) -> Iterator[None]:
    """These blocks hand on their input, inside.

    A plain block is gone; of a residual one its shortcut is left, whose ReLU changes nothing behind
    the ReLU of the block before.
    """
    stages = rows(model)
    kept = [(stages[stage], block, stages[stage][block]) for stage, block in places]
    try:
        for row, block, _ in kept:
            row[block] = nn.Identity()
        yield
    finally:
        for row, block, module in kept:
            row[block] = module


def error_without(
    model: ImageClassifier,
    places: Sequence[Place],
    batches: Sequence[Batch],
    runtime: Runtime,
) -> float:
    """The error on batches of a network without these blocks."""
    with deleted(model, places):
        logits, targets, _ = run_model(model, batches, runtime)
    return float((logits.argmax(1) != targets).double().mean())


def lesions(
    model: ImageClassifier,
    batches: Sequence[Batch],
    runtime: Runtime,
    *,
    draws: int,
    seed: int,
) -> tuple[list[int], list[float]]:
    """How many blocks are deleted, and the mean error then: 0, 1, 2, 4 and so on, up to all.

    One block is deleted each in its turn; more are drawn at random, so many times.
    """
    places = removable(model)
    counts = [0, *(2**i for i in range(len(places).bit_length()))]
    errors = []
    for count in counts:
        if count < 2:
            chosen = [[place] for place in places] if count else [[]]
        else:
            chosen = [_drawn(places, count, seed, draw) for draw in range(draws)]
        errors.append(fmean(error_without(model, some, batches, runtime) for some in chosen))
    return counts, errors


def _drawn(places: Sequence[Place], count: int, seed: int, draw: int) -> list[Place]:
    order = torch.randperm(len(places), generator=generator(seed, "delete", count, draw))
    return [places[i] for i in order[:count].tolist()]
