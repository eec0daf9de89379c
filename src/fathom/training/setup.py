"""Everything a run is made of, put together before anything is written."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fathom.data.batches import TrainingBatches
from fathom.data.catalog import open_catalog
from fathom.data.load import Dataset, load_dataset
from fathom.data.split import SplitCatalog, split_catalog
from fathom.errors import require
from fathom.layers import freeze_norms
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, choose_runtime, derive_seed
from fathom.training.loss import balanced_weights
from fathom.training.progressive import check_progressive
from fathom.training.recalibrate import batch_norms
from fathom.training.recipe import Recipe
from fathom.weights.load import load_weights
from fathom.weights.sources import Pretrained, find_weights


@dataclass(frozen=True)
class Weights:
    """Where pretrained weights came from, whose names they bore, and what was assumed or left.

    whole: the classifier was among them, so that the network names these classes before any step.
    """

    name: str
    layout: str
    notes: tuple[str, ...]
    whole: bool


@dataclass(frozen=True)
class Setup:
    """A recipe with its device, data, batches and network, with fresh or pretrained weights.

    weights says where pretrained ones came from, and what has to be known of them; class_weights
    are those of the loss, on its device.
    """

    recipe: Recipe
    runtime: Runtime
    dataset: Dataset
    batches: TrainingBatches
    model: ImageClassifier
    weights: Weights | None
    class_weights: Tensor | None

    @classmethod
    def of(
        cls, recipe: Recipe, *, resumed: Preprocess | None = None, dataset: Dataset | None = None
    ) -> Setup:
        """Load the data and build the network. Raises UserError for what cannot be used.

        A resumed run brings its preprocessing, and its checkpoint the weights. dataset is what the
        recipe's data settings would load, where that has been done already.
        """
        runtime = choose_runtime(recipe.device, recipe.precision)
        settings, found = recipe.model, None
        if settings.weights is not None and resumed is None:
            found = find_weights(settings.weights, model_card(settings.name))
        view = resumed if found is None else found.preprocess
        if dataset is None:
            dataset = load_data(recipe, view if settings.weights is not None else None)
        batches = TrainingBatches(
            dataset,
            recipe.augment,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            runtime=runtime,
            workers=recipe.data.workers,
            sampling=recipe.sampling,
            image_size=recipe.image_size,
        )
        model, weights = _build(recipe, dataset, found)
        model = model.to(runtime.device).train()
        if recipe.channels_last:
            _refuse_damage(model, runtime)
            model = model.to(memory_format=torch.channels_last)
        class_weights = balanced_weights(recipe.loss, dataset.counts("train"))
        if class_weights is not None:
            class_weights = class_weights.to(runtime.device)
        return cls(recipe, runtime, dataset, batches, model, weights, class_weights)


def load_data(
    recipe: Recipe, pretrained: Preprocess | None, *, chosen: SplitCatalog | None = None
) -> Dataset:
    """The data of a recipe, seen as pretrained weights saw theirs, if there are any.

    chosen is the catalog with its splits, by default that of the recipe's data settings.
    """
    if chosen is None:
        catalog = open_catalog(recipe.data)
        chosen = split_catalog(catalog, recipe.data, choosing=recipe.select == "best")
    asked = recipe.data.channels
    own = pretrained.channels if pretrained else chosen.catalog.summary().channels
    require(
        pretrained is None or asked in ("auto", own),
        f"data.channels is {asked}, but the pretrained weights see {own}; set data.channels=auto",
    )
    return load_dataset(
        chosen,
        recipe.data,
        recipe.augment,
        image_size=recipe.eval_size or recipe.image_size,
        resize=recipe.eval_resize,
        channels=own if asked == "auto" else asked,
        pretrained=pretrained,
    )


def _build(
    recipe: Recipe, dataset: Dataset, found: Pretrained | None
) -> tuple[ImageClassifier, Weights | None]:
    """The network for these data, initialised from the recipe's seed, then from weights if any."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(recipe.seed, "init"))
        model = build_model(
            recipe.model.name,
            num_classes=len(dataset.class_names),
            in_channels=dataset.preprocess.channels,
            **recipe.model.spec,
        )
    view = dataset.preprocess
    side = min(view.image_size, recipe.image_size)
    with torch.device("meta"):  # sizes that the strides do not allow are refused here
        model.check(torch.empty(1, view.channels, side, side))
    weights = None
    if found is not None:
        loaded = load_weights(model, found.read())
        notes = tuple(note for note in (found.note, loaded.note) if note)
        weights = Weights(found.name, loaded.layout, notes, whole=not loaded.replaced)
    _settle(recipe, model)
    return model, weights


def _refuse_damage(model: ImageClassifier, runtime: Runtime) -> None:
    """Raise UserError for a convolution whose backward pass PyTorch gets wrong on CPUs.

    Seen in torch 2.15: 1x1, a stride, fewer than 8 input channels, channels_last. Gradients are
    wrong, and memory is overwritten. No network of the zoo has one at its own widths.
    """
    narrow = any(
        module.kernel_size == (1, 1) and max(module.stride) > 1 and module.in_channels < 8
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    )
    require(
        not narrow or runtime.device.type != "cpu",
        "this network has a strided 1x1 convolution of fewer than 8 channels, whose gradients "
        "PyTorch gets wrong on CPUs in channels_last; set channels_last=false",
    )


def _settle(recipe: Recipe, model: ImageClassifier) -> None:
    """Freeze norms where asked. Raises UserError for settings that this network leaves idle."""
    if recipe.model.frozen_norms:
        require(
            freeze_norms(model) > 0,
            f"model.frozen_norms has no effect: {recipe.model.name} has no batch norm; set it to "
            "false",
        )
    last = recipe.model.trained_stages
    if last is not None:
        require(
            last < len(model.stages),
            f"model.trained_stages is {last}, and {recipe.model.name} has {len(model.stages)} "
            "stages; use fewer, or none to train them all",
        )
        model.train_last(last)
    require(
        recipe.recalibrate == 0 or bool(batch_norms(model)),
        f"recalibrate={recipe.recalibrate} has no effect: {recipe.model.name} has no batch norm "
        "whose statistics are learnt; set recalibrate=0",
    )
    if recipe.progressive is not None:
        check_progressive(recipe.progressive, recipe.image_size, model.min_size)
