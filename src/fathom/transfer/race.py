"""What judges a race of strategies, and how one did in it."""

from __future__ import annotations

from dataclasses import replace

from fathom.data.load import Dataset, Split
from fathom.data.split import stratified
from fathom.training.reports import Finished
from fathom.transfer.decision import Outcome
from fathom.transfer.strategies import Strategy

_RACED = 500  # validation images that judge the race


def outcome(strategy: Strategy, done: Finished, seconds: float, visits: int) -> Outcome:
    """How a run of the race did, after so many seconds and training images."""
    found = done.evaluation
    return Outcome(
        strategy,
        right=round(found.top1 * found.num_images),
        num_images=found.num_images,
        most=max(map(sum, found.matrix)),
        seconds=seconds,
        visits=visits,
    )


def for_race(dataset: Dataset, seed: int) -> Dataset:
    """The data without their test images, judged by a few validation images of every class."""
    split = dataset.splits["val"]
    images = split.images
    if len(images) > _RACED:
        _, chosen = stratified(images.targets, _RACED / len(images), seed)
        views = None if split.views is None else split.views[chosen]
        split = Split(images.take(chosen), views)
    splits = {role: kept for role, kept in dataset.splits.items() if role != "test"}
    return replace(dataset, splits={**splits, "val": split}, judge="val")
