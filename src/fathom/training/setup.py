"""Everything a run is made of, put together before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fathom.data.batches import TrainingBatches
from fathom.data.catalog import open_catalog
from fathom.data.load import Dataset, load_dataset
from fathom.data.split import split_catalog
from fathom.models.base import ImageClassifier
from fathom.models.registry import create_model
from fathom.runtime import Runtime, choose_runtime, derive_seed
from fathom.training.recipe import Recipe


@dataclass(frozen=True)
class Setup:
    """A recipe with its device, data, batches and freshly initialised network."""

    recipe: Recipe
    runtime: Runtime
    dataset: Dataset
    batches: TrainingBatches
    model: ImageClassifier

    @classmethod
    def of(cls, recipe: Recipe) -> Setup:
        """Load the data and build the network. Raises UserError for what cannot be used."""
        runtime = choose_runtime(recipe.device, recipe.precision)
        dataset = _load(recipe)
        batches = TrainingBatches(
            dataset,
            recipe.augment,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            runtime=runtime,
            workers=recipe.data.workers,
        )
        return cls(recipe, runtime, dataset, batches, _build(recipe, dataset, runtime))


def _load(recipe: Recipe) -> Dataset:
    catalog = open_catalog(recipe.data)
    chosen = split_catalog(catalog, recipe.data, choosing=recipe.select == "best")
    asked = recipe.data.channels
    channels = catalog.summary().channels if asked == "auto" else asked
    return load_dataset(
        chosen, recipe.data, recipe.augment, image_size=recipe.image_size, channels=channels
    )


def _build(recipe: Recipe, dataset: Dataset, runtime: Runtime) -> ImageClassifier:
    """The network for these data in training mode, initialised from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "init"))
        model = create_model(
            recipe.model.name,
            num_classes=len(dataset.class_names),
            in_channels=dataset.preprocess.channels,
            **recipe.model.spec,
        )
    model = model.to(runtime.device).train()
    return model.to(memory_format=torch.channels_last) if recipe.channels_last else model
