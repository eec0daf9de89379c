"""What a race of strategies is run on, and how one did in it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from fathom.data.catalog import ImageList
from fathom.data.load import Dataset, Split
from fathom.data.split import SplitCatalog
from fathom.runtime import generator
from fathom.training.recipe import Recipe
from fathom.training.reports import Finished, StepReport
from fathom.training.session import train
from fathom.transfer.decision import Outcome
from fathom.transfer.strategies import Strategy

_MOST, _LEAST = 500, 100  # validation images that judge a race
_JUDGING = 0.15  # of a strategy's share of the race, at most, beyond the least
_LOOKED_AT = 300.0  # training images a second that fresh weights are given to learn from


def num_judges(seconds: float, image_seconds: float) -> int:
    """Validation images for strategies that have so many seconds each."""
    return min(_MOST, max(_LEAST, int(_JUDGING * seconds / image_seconds)))


def for_race(dataset: Dataset, seed: int, judges: int = _MOST) -> Dataset:
    """The data without their test images, judged by so many validation images, or all."""
    split = dataset.splits["val"]
    chosen = drawn(split.images, judges, seed)
    views = None if split.views is None else split.views[chosen]
    splits = {role: kept for role, kept in dataset.splits.items() if role != "test"}
    judging = Split(split.images.take(chosen), views)
    return replace(dataset, splits={**splits, "val": judging}, judge="val")


def thinned(chosen: SplitCatalog, seconds: float, seed: int, judges: int) -> SplitCatalog:
    """What fresh weights are raced on: no more training images than they get through in so many
    seconds, since what is not decoded costs no time, and the images that judge the race."""
    splits = chosen.catalog.splits
    kept = {"train": int(_LOOKED_AT * seconds), "val": judges}
    few = {role: splits[role].take(drawn(splits[role], most, seed)) for role, most in kept.items()}
    return replace(chosen, catalog=replace(chosen.catalog, splits=few))


def drawn(images: ImageList, most: int, seed: int) -> list[int]:
    """Positions of about so many images, of every class its share and one at least, in order."""
    if len(images) <= most:
        return list(range(len(images)))
    return nested(torch.tensor(images.targets), most / len(images), seed).tolist()


def nested(targets: Tensor, share: float, seed: int) -> Tensor:
    """(N,) targets -> positions of a share of each class, at least one, in their order; those of
    smaller shares are among those of larger."""
    found = []
    for target in torch.unique(targets).tolist():
        own = (targets == target).nonzero()[:, 0]
        order = torch.randperm(len(own), generator=generator(seed, "nested", target))
        found.append(own[order[: max(1, round(share * len(own)))]])
    return torch.cat(found).sort().values


def run_leg(
    strategy: Strategy,
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    seconds: float,
    *,
    usual: float = 0.0,
) -> Outcome:
    """Train as the recipe says for so many seconds; the last weights are judged, and no others.

    usual: training images a second that are to be expected, where a single step cannot tell.
    """
    steps, recipe = [], replace(recipe, select="last", batch_size=batch_for(recipe, dataset))
    for report in train(recipe, out=out, dataset=dataset):
        if isinstance(report, StepReport):
            steps.append(report)
    assert isinstance(report, Finished)
    visits = report.steps * recipe.batch_size
    return outcome(strategy, report, seconds, visits, pace(steps, recipe.batch_size, usual))


def batch_for(recipe: Recipe, dataset: Dataset) -> int:
    """The recipe's batch size, or all training images of a part that is smaller."""
    return min(recipe.batch_size, len(dataset.splits["train"].images))


def pace(steps: Sequence[StepReport], batch_size: int, usual: float = 0.0) -> float:
    """Training images a second: the median of the steps after the first, which is slow.

    Of the first alone what is usual, if that is faster.
    """
    if len(steps) == 1:
        return max(steps[0].images_per_second, usual)
    taken = (after.seconds - before.seconds for before, after in pairwise(steps))
    return batch_size / statistics.median(taken)


def outcome(
    strategy: Strategy, done: Finished, seconds: float, visits: int, images_per_second: float
) -> Outcome:
    """How a run did, after so many seconds and training images."""
    found = done.evaluation
    return Outcome(
        strategy,
        right=round(found.top1 * found.num_images),
        num_images=found.num_images,
        most=max(map(sum, found.matrix)),
        seconds=seconds,
        visits=visits,
        images_per_second=images_per_second,
    )
