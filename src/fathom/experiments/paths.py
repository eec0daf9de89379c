"""A residual network as many paths: how much gradient comes along paths of each length, and what is
left when some blocks are deleted.

Source: Veit et al. 2016, arXiv:1605.06431, Section 3: every block can be gone through or passed by,
so L blocks are 2^L paths, and deleting one leaves half of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.data.batches import Batch
from fathom.evaluate import run_model
from fathom.models.base import ImageClassifier
from fathom.models.resnet import Block
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


def gradients_by_length(model: ImageClassifier, images: Tensor, targets: Tensor) -> Tensor:
    """(N, C, H, W) images -> (L + 1, N, C', H, W): the gradient that reaches the map behind the
    stem along all paths that go through 0, 1, ... L branches; their sum is the whole gradient.

    model: a residual network of L blocks, which is put into training mode. The loss is the mean
    cross entropy. Back through a block, what came along paths of k branches goes on through the
    shortcut with k, and through the branch with k + 1. Source: Veit et al. 2016, arXiv:1605.06431,
    Section 5. Departure: they estimate the size of each length's gradient from some of its paths;
    this takes all of them, exactly.
    """
    x = model.train().stem(images).detach().requires_grad_()
    steps = []
    for block in (block for row in rows(model) for block in row):
        assert isinstance(block, Block)
        assert block.shortcut is not None, "a plain network has one path"
        ways = block.branch(x), block.shortcut(x)
        total = (ways[0] + ways[1]).detach().requires_grad_()
        y = block.act(total.clone())  # which may work in place
        steps.append((x, ways, total, y))
        x = y.detach().requires_grad_()
    loss = F.cross_entropy(model.head(x), targets)
    parts: Tensor = torch.autograd.grad(loss, x)[0][None]
    for x, (branch, passed), total, y in reversed(steps):
        parts = _back(y, total, parts)
        none = torch.zeros_like(x)[None]
        through, by = _back(branch, x, parts), _back(passed, x, parts)
        parts = torch.cat([by, none]) + torch.cat([none, through])
    return parts


def _back(output: Tensor, source: Tensor, gradients: Tensor) -> Tensor:
    """Each of these gradients of the output, as one of the source."""
    found = [torch.autograd.grad(output, source, g, retain_graph=True)[0] for g in gradients]
    return torch.stack(found)


def shares(parts: Tensor) -> list[float]:
    """(K, ...) parts of a sum -> how much of it is due to each: the part along the sum, over the
    sum's own length. They add up to one; a part that points away from the sum has less than zero.
    """
    flat = parts.flatten(1)
    total = flat.sum(0)
    found: list[float] = (flat @ total / total.dot(total)).tolist()
    return found
