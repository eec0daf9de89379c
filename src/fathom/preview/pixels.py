"""Draws of pictures that are given as pixels: by any augmentation, or by a whole recipe.

The pictures become the training images of the batches that train, and each draw is one step of
these. A certain change of a policy is found by asking the steps what they draw, not by applying it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fathom.data.batches import Batch, Drawn, TrainingBatches, evaluation_batches
from fathom.data.catalog import Catalog, ImageList
from fathom.data.decode import Pixels
from fathom.data.load import Dataset, load_dataset
from fathom.data.settings import AugmentSettings, DataSettings
from fathom.data.sources import Arrays
from fathom.data.split import SplitCatalog
from fathom.data.summary import Summary
from fathom.errors import require
from fathom.preprocess import Preprocess
from fathom.preview.looks import CPU, Look, looks
from fathom.recipes.registry import recipe
from fathom.training.recipe import Recipe
from fathom.weights.sources import IMAGENET_MEAN, IMAGENET_STD

Named = tuple[str, Pixels]

# The evaluated view where no recipe says another, and the colours that count as mean.
IMAGENET_VIEW = Preprocess(224, 256, 3, IMAGENET_MEAN, IMAGENET_STD)
_IMAGENET_TRAIN, _IMAGENET_CLASSES = 1_281_167, 1000


@dataclass(frozen=True)
class Shown:
    """Pictures as they are evaluated, and draws of the first: each with what chance gave it."""

    originals: tuple[Look, ...]
    draws: tuple[tuple[Look, Drawn], ...]


def show(
    pictures: Sequence[Named],
    augment: AugmentSettings,
    *,
    draws: int,
    seed: int,
    change: str | None = None,
    image_size: int = IMAGENET_VIEW.image_size,
    resize: int | None = None,
    train_size: int | None = None,
) -> Shown:
    """(name, (H, W, 3) uint8) of some pictures -> draws of the first, mixed with the others.

    Args:
        augment: what is random; each draw of a repeated image counts as one.
        draws, seed: how many, and what they follow from.
        change: only draws in which the policy makes this change, and makes it first.
        image_size, resize, train_size: pixels, as in a recipe; train_size is image_size by default.

    Departures from a run: mean and deviation are ImageNet's. Where every batch is mixed, steps
    are passed over in which the picture meets nothing but itself: few pictures do so often, a
    batch of a run hardly ever. A picture that is alone is mixed with none.
    """
    require(draws >= 1, f"draws is {draws}; it must be at least 1")
    augment = replace(augment, repeats=1, mix=augment.mix if len(pictures) > 1 else None)
    dataset = _dataset(pictures, augment, image_size, resize)
    (plain,) = evaluation_batches(
        dataset.splits["train"],
        dataset.preprocess,
        batch_size=len(pictures),
        runtime=CPU,
        workers=0,
    )
    batches = TrainingBatches(
        dataset,
        augment,
        batch_size=len(pictures),
        seed=seed,
        runtime=CPU,
        workers=0,
        image_size=train_size,
    )
    always_mixed = augment.mix is not None and augment.mix.probability == 1
    found = _draws(dataset, batches, change, always_mixed=always_mixed)
    return Shown(tuple(looks(plain, dataset)), tuple(itertools.islice(found, draws)))


def show_recipe(
    pictures: Sequence[Named], name: str, *, draws: int, seed: int
) -> tuple[Recipe, Shown]:
    """The same by all that a recipe leaves to chance; the recipe is that for as many images and
    classes as ImageNet has, of the size of the first picture."""
    height, width, channels = pictures[0][1].shape
    summary = Summary(_IMAGENET_TRAIN, _IMAGENET_CLASSES, width, height, channels, None)
    made = recipe(name, summary=summary)
    shown = show(
        pictures if made.augment.mix else pictures[:1],
        made.augment,
        draws=draws,
        seed=seed,
        image_size=made.eval_size or made.image_size,
        resize=made.eval_resize,
        train_size=made.image_size,
    )
    return made, shown


def _dataset(
    pictures: Sequence[Named], augment: AugmentSettings, image_size: int, resize: int | None
) -> Dataset:
    """The pictures as training images, each of a class of its own."""
    names = tuple(name for name, _ in pictures)
    keys = tuple(map(str, range(len(pictures))))
    images = ImageList(Arrays([pixels for _, pixels in pictures]), keys, tuple(range(len(names))))
    return load_dataset(
        SplitCatalog(Catalog("pictures", names, {"train": images}), {"train": "as given"}),
        DataSettings(workers=0),
        augment,
        image_size=image_size,
        resize=resize,
        channels=IMAGENET_VIEW.channels,
        pretrained=IMAGENET_VIEW,
    )


def _draws(
    dataset: Dataset, batches: TrainingBatches, change: str | None, *, always_mixed: bool
) -> Iterator[tuple[Look, Drawn]]:
    """The first picture in every step that is wanted, without end."""
    for step in itertools.count():
        drawn = next(found for found in batches.drawn(step) if found.position == 0)
        if change is not None and (not drawn.changes or drawn.changes[0][0] != change):
            continue
        batch = next(batches.start(step))
        mine = batch.positions == 0
        targets = batch.targets[mine]
        if always_mixed and targets[0, 0] == 1:
            continue
        (look,) = looks(Batch(batch.images[mine], targets, batch.positions[mine]), dataset)
        yield look, drawn
