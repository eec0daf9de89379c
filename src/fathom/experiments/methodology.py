"""What matters more, the network or how it is trained? Two of each, crossed."""

from __future__ import annotations

from dataclasses import replace

from fathom.data.settings import PadCrop
from fathom.experiments.arms import small_size
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import percent, points
from fathom.figures.charts import Axis, Point, PointChart
from fathom.recipes.adapt import with_size
from fathom.recipes.fitting import batch_of
from fathom.recipes.modern import convnext_2022
from fathom.recipes.residual import cifar_resnet_2015
from fathom.training.choices import SGD, AdamW
from fathom.training.recipe import ModelSettings, Recipe

_OLD, _NEW = "2015", "2022"
_NETWORKS = {_OLD: "ResNet of 2015", _NEW: "ConvNeXt of 2022"}
_BATCH = 128
_SEEDS = 3  # for a verdict


def methodology(setting: Setting) -> Experiment:
    """A network of 2015 and one of 2022, each under the recipe of 2015 and that of 2022.

    Source: Liu et al. 2022, arXiv:2201.03545, Section 2.1: with the recipe of 2022 a ResNet-50
    rises from 76.1 % to 78.8 % on ImageNet, nearly half of the way to ConvNeXt's 82.1 %. Wightman
    et al. 2021, arXiv:2110.00476, make the case with recipes alone.

        fathom experiment methodology --data DATA

    The networks have about the same multiply-adds: 41 million at 32 pixels. The recipes are
    `cifar_resnet_2015` and `convnext_2022`, both for the same number of steps.

    Written before looking: the recipe matters as much as the network where the older network gains
    by the newer recipe, intervals apart, and gains at least what the newer network gains over it
    under the old recipe.

    Departures: images of at most 32 pixels, batches of at most 128; the rate is scaled from the
    recipes' own batches in proportion for SGD, and with the root of it for AdamW. Crops are padded
    by an eighth of the image. ConvNeXt has three stages, a stem for small images and no layer
    scale. Runs are far shorter than the 300 epochs for which the newer recipe was made; strong
    augmentation pays late, so that a short run may well prefer the older one.
    Measured: docs/results/experiments.md.
    """
    recipes = {_OLD: _of_2015(setting), _NEW: _of_2022(setting)}
    return Experiment(
        title="What matters more, the network or how it is trained?",
        expected=(
            "Over long runs the newer recipe brings the older network about as much as the newer "
            "network would; in minutes its strong augmentation may not pay yet."
        ),
        arms=[
            Arm(
                _name(network, recipe),
                replace(recipes[recipe], model=_model(network, recipe, quick=setting.quick)),
            )
            for recipe in recipes
            for network in _NETWORKS
        ],
        measure=_measure,
        findings=_findings,
        claims=("methodology",),
    )


def _name(network: str, recipe: str) -> str:
    return f"{_NETWORKS[network]}, recipe of {recipe}"


def _model(network: str, recipe: str, *, quick: bool) -> ModelSettings:
    """Either network at about 41 million multiply-adds; the newer recipe drops branches."""
    drop = {"stochastic_depth": 0.1} if recipe == _NEW else {}
    if network == _OLD:
        depths = [1, 1, 1] if quick else [3, 3, 3]
        return ModelSettings("cifar_resnet20", {"depths": depths, **drop})
    spec = {"stem": "cifar", "widths": [32, 64, 128], "layer_scale": None, **drop}
    return ModelSettings("convnext_tiny", {"depths": [1, 1 if quick else 2, 1], **spec})


def _of_2015(setting: Setting) -> Recipe:
    recipe = _small(cifar_resnet_2015(setting.summary), setting)
    assert isinstance(recipe.optimizer, SGD)
    lr = recipe.optimizer.lr * recipe.batch_size / 128
    crop = PadCrop(max(1, recipe.image_size // 8), "mean")
    return replace(
        recipe,
        optimizer=replace(recipe.optimizer, lr=lr),
        augment=replace(recipe.augment, crop=crop),
    )


def _of_2022(setting: Setting) -> Recipe:
    recipe = _small(convnext_2022(setting.summary), setting)
    assert isinstance(recipe.optimizer, AdamW)
    lr = recipe.optimizer.lr * (recipe.batch_size / 4096) ** 0.5
    return replace(recipe, optimizer=replace(recipe.optimizer, lr=lr))


def _small(recipe: Recipe, setting: Setting) -> Recipe:
    """The recipe for these data at a small size and batch; the session sets the length."""
    return replace(
        with_size(recipe, small_size(setting)),
        data=setting.data,
        batch_size=batch_of(setting.summary.num_train, _BATCH),
        device=setting.device,
    )


def _measure(cell: Cell) -> Values:
    return {"top1": cell.evaluation().top1, "train_top1": cell.evaluation("train").top1}


def _findings(results: Results) -> Findings:
    old, newer_network, newer_recipe, both = (
        _name(network, recipe) for recipe in (_OLD, _NEW) for network in _NETWORKS
    )
    recipe = results.difference(newer_recipe, old, "top1")
    network = results.difference(newer_network, old, "top1")
    together = results.difference(both, old, "top1")
    judging = {"test": "test", "val": "validation"}[results.setting["judge"]]
    sentences = [
        f"The {_NETWORKS[_OLD]} under the recipe of its time names "
        f"{percent(results.spread(old, 'top1'))} of the {judging} images right.",
        f"The newer recipe alone brings it {points(recipe)}, the newer network alone "
        f"{points(network)}, both together {points(together)}.",
    ]
    better = recipe.mean > 0 and results.spread(newer_recipe, "top1").apart_from(
        results.spread(old, "top1")
    )
    enough = len(results.setting["seeds"]) >= _SEEDS
    shown = enough and better and recipe.mean >= network.mean
    if better:
        as_much = "as much as" if recipe.mean >= network.mean else "less than"
        sentences.append(f"At this scale the recipe matters {as_much} the network.")
    elif recipe.high is not None and recipe.high < 0:
        sentences.append(
            "At this scale the newer recipe does harm, which contradicts the source: it was made "
            "for runs of 300 epochs."
        )
    else:
        sentences.append("At this scale the older network gains nothing certain by the recipe.")
    computed = {
        f"{arm}: top-1 (%)": round(100 * results.spread(arm, "top1").mean, 2)
        for arm in results.arms
    }
    verdict = Judged("demonstrated" if shown else "not-reproduced", computed, " ".join(sentences))
    return Findings(tuple(sentences), (_chart(results),), {"methodology": verdict})


def _chart(results: Results) -> PointChart:
    points = {}
    for recipe in (_OLD, _NEW):
        found = [results.spread(_name(network, recipe), "top1") for network in _NETWORKS]
        points[f"recipe of {recipe}"] = [
            Point(100 * s.mean, s.low and 100 * s.low, s.high and 100 * s.high) for s in found
        ]
    return PointChart(
        "Two networks, two recipes",
        list(_NETWORKS.values()),
        Axis("Top-1 accuracy (%)"),
        points,
        f"{results.caption} Mean and 95 % interval over the seeds.",
    )
