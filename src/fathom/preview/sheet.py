"""Pictures as a network will see them, drawn by the batches that train it.

Nothing is imitated here: a few images become the training images of the recipe's own batches, each
step of which then holds one more draw of each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from fathom.data.batches import TrainingBatches, evaluation_batches
from fathom.data.catalog import Catalog, ImageList, open_catalog
from fathom.data.load import BadImage, Dataset, Split, load_dataset
from fathom.data.sources import Folder
from fathom.data.split import SplitCatalog, split_catalog
from fathom.errors import require
from fathom.models.registry import model_card
from fathom.preview.looks import CPU, Look, looks
from fathom.preview.words import what_is_random
from fathom.recipes.registry import recipe as make_recipe
from fathom.runtime import derive_seed
from fathom.training.recipe import Recipe
from fathom.weights.sources import find_weights

_SAMPLE = 512  # images that mean and deviation are measured on; a run measures all


@dataclass(frozen=True)
class Row:
    """One image: the name of its file, the view that is evaluated, and draws for training."""

    name: str
    original: Look
    draws: tuple[Look, ...]


@dataclass(frozen=True)
class Sheet:
    """Rows of pictures, the recipe they are drawn by, and what it leaves to chance, in words.

    labelled says whether the images have classes: where they have none, each counts as its own. bad
    are files that were met and cannot be used.
    """

    data: str
    recipe: Recipe
    seed: int
    labelled: bool
    random: tuple[str, ...]
    rows: tuple[Row, ...]
    bad: tuple[BadImage, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the pixels."""
        return {
            "data": self.data,
            "recipe": self.recipe.name,
            "seed": self.seed,
            "image_size": self.recipe.image_size,
            "random": list(self.random),
            "rows": [
                {
                    "name": row.name,
                    "label": row.original.shares[0][0] if self.labelled else None,
                    "draws": [dict(look.shares) for look in row.draws],
                }
                for row in self.rows
            ],
            "bad_images": [asdict(image) for image in self.bad],
        }


def preview(
    data: str,
    *,
    recipe: str = "default",
    changes: Mapping[str, str] | None = None,
    images: int = 6,
    draws: int = 7,
    seed: int = 0,
) -> Sheet:
    """Some training images, each with several draws of what the recipe will make of it.

    Args:
        data: an image, a folder of images without classes, or data as for `fathom.recipe`.
        recipe, changes: as for `fathom.recipe`.
        images: rows, of as many classes as there are; all there are, where there are fewer.
        draws: training views of each image.
        seed: chooses the images, and what is drawn.

    Departures from a run: mean and deviation are those of at most 512 training images, and images
    are mixed with others of the sheet. A single image is mixed with none.

    Raises UserError for data or recipes that cannot be used.
    """
    for name, count in (("images", images), ("draws", draws)):
        require(count >= 1, f"{name} is {count}; it must be at least 1")
    loose = _loose_images(data)
    summary = None if loose is None else loose.summary()
    made = make_recipe(recipe, data, changes=changes, summary=summary)
    dataset = _load(made, loose, seed)
    split = _chosen(dataset.splits["train"], images, seed)
    augment = replace(made.augment, repeats=1)  # each draw of the sheet is one more repeat
    if len(split.images) == 1:
        augment = replace(augment, mix=None)
    (plain,) = evaluation_batches(
        split, dataset.preprocess, batch_size=len(split.images), runtime=CPU, workers=0
    )
    batches = TrainingBatches(
        replace(dataset, splits={"train": split}),
        augment,
        batch_size=len(split.images),
        seed=seed,
        runtime=CPU,
        workers=0,
        image_size=made.image_size,
    )
    drawn = [batch for _, batch in zip(range(draws), batches.start(0), strict=False)]
    columns = [looks(batch, dataset) for batch in (plain, *drawn)]
    rows = [
        Row(Path(key).name, original, tuple(rest))
        for key, original, *rest in zip(split.images.keys, *columns, strict=True)
    ]
    words = what_is_random(augment)
    return Sheet(dataset.name, made, seed, loose is None, words, tuple(rows), dataset.bad)


def _loose_images(data: str) -> Catalog | None:
    """A picture file, or the files of a folder that holds no folders; None for anything else."""
    place = Path(data).expanduser()
    if place.is_dir():
        files = [p for p in sorted(place.iterdir()) if not p.name.startswith(".")]
        if not files or any(p.is_dir() for p in files):
            return None
    elif place.is_file() and place.suffix.lower() in Image.registered_extensions():
        files = [place]
    else:
        return None
    source = Folder(place if place.is_dir() else place.parent)
    images = ImageList(source, tuple(p.name for p in files), (0,) * len(files))
    return Catalog(place.name, ("picture",), {"train": images})


def _load(recipe: Recipe, loose: Catalog | None, seed: int) -> Dataset:
    """A seeded sample of the training images as a run would load them, and their statistics."""
    settings, origins = recipe.data, {"train": "as given"}
    if loose is None:
        choosing = recipe.select == "best"
        chosen = split_catalog(open_catalog(settings), settings, choosing=choosing)
        catalog, origins = chosen.catalog, dict(chosen.origins)
    else:
        catalog = loose
    whole = catalog.splits["train"]
    rng = random.Random(derive_seed(seed, "preview"))
    images = whole.take(rng.sample(range(len(whole)), min(_SAMPLE, len(whole))))
    if loose is not None and len(images) == 1:
        settings = replace(settings, on_bad_image="fail")  # says what is wrong with it
    found = None
    if recipe.model.weights is not None:
        found = find_weights(recipe.model.weights, model_card(recipe.model.name)).preprocess
    own = found.channels if found else catalog.summary().channels
    dataset = load_dataset(
        SplitCatalog(_present(catalog, images), origins),
        settings,
        recipe.augment,
        image_size=recipe.eval_size or recipe.image_size,
        resize=recipe.eval_resize,
        channels=own if settings.channels == "auto" else settings.channels,
        pretrained=found,
    )
    return dataset if loose is None else _each_its_own_class(dataset)


def _present(catalog: Catalog, images: ImageList) -> Catalog:
    """A catalog of these training images alone, and of the classes that they are of."""
    present = sorted(set(images.targets))
    renumbered = replace(images, targets=tuple(present.index(t) for t in images.targets))
    names = tuple(catalog.class_names[t] for t in present)
    return replace(catalog, class_names=names, splits={"train": renumbered})


def _each_its_own_class(dataset: Dataset) -> Dataset:
    """Images without classes are told apart, where they are mixed, by the names of their files."""
    split = dataset.splits["train"]
    images = replace(split.images, targets=tuple(range(len(split.images))))
    names = split.images.keys
    return replace(dataset, class_names=names, splits={"train": Split(images, split.views)})


def _chosen(split: Split, count: int, seed: int) -> Split:
    """So many images, in turns from every class, classes and images in a seeded order."""
    rounds: Counter[int] = Counter()
    turns = []
    for place, target in enumerate(split.images.targets):  # the sample is in random order
        turns.append((rounds[target], place))
        rounds[target] += 1
    places = [place for _, place in sorted(turns)[:count]]
    views = None if split.views is None else split.views[places]
    return Split(split.images.take(places), views)
