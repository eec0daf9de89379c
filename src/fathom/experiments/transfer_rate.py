"""How much smaller is the best learning rate from pretrained weights? A grid from both starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fathom.data.load import Dataset, Split
from fathom.errors import UserError, require
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import in_unit
from fathom.features.backbone import find_backbones
from fathom.figures.charts import Axis, LineChart, Series
from fathom.spread import Spread, spread
from fathom.training.recalibrate import batch_norms
from fathom.training.recipe import Recipe
from fathom.training.reports import Finished
from fathom.training.run import Run
from fathom.training.session import train
from fathom.training.setup import load_data
from fathom.transfer.probe_run import checkpoint_of

_FRESH, _PRETRAINED = "fresh weights", "pretrained weights"
_RATES = tuple(round(10 ** (half / 2), 6) for half in range(-6, 2))  # 0.001 to 3.16
_STEPS, _PRETRAINING = 100, 600
_SIDE = 64  # pixels, at most, for networks that were pretrained elsewhere
_REMEASURED = 20  # batches, for their batch norms
_HALF_STEP = 0.25  # decades, half a step of the grid
_STATED = 1.0  # decades: ten times
_SEEDS = 3  # for a verdict


def transfer_rate(setting: Setting) -> Experiment:
    """The best rate from pretrained weights is smaller than the best from fresh ones: how much?

    Source: the rule of practice that the ledger states, a tenth of the rate from scratch.

        fathom experiment transfer-rate --weights lite --data DATA

    From either start, SGD with momentum, a rate for every half decade from 0.001 to 3.2, 100 steps
    each, everything else equal: network, data, size, recipe (`fathom.experiments.arms.comparing`)
    and seed. The best rate has the highest accuracy on the images that judge, among equals the
    lowest loss. With weights, images are prepared as theirs were and have at most 64 pixels, and
    the statistics of batch norms are measured anew before judging: with a momentum of 0.01, as some
    weights have it, 100 steps would be judged by those of the beginning. Without, a small network
    is first trained here, 600 steps on the first classes (one more than half of them), and the rest
    are what is learnt from either start.

    Written before looking: about ten times smaller is shown where the interval of the ratio is
    above 1 and, widened by half a step of the grid, holds 10, and no best rate is at the grid's
    end. Measured: docs/results/experiments.md.
    """
    classes = setting.summary.num_classes
    require(
        setting.weights is not None or classes >= 5,
        f"these data have {classes} classes; without --weights some are for pretraining and the "
        "rest to be learnt, which needs 5 or more",
    )
    return Experiment(
        title="How much smaller is the best learning rate from pretrained weights?",
        expected="The best rate from pretrained weights is about a tenth of that from fresh ones.",
        arms=[Arm(_PRETRAINED), Arm(_FRESH)],
        measure=_measure,
        findings=_findings,
        claims=("transfer.finetune",),
    )


def _measure(cell: Cell) -> Values:
    quick = cell.setting.quick
    rates = _RATES[3:5] if quick else _RATES
    with TemporaryDirectory(prefix="fathom-rate-") as name:
        start = _start(cell, Path(name))
        found = [start.tried(rate, Path(name) / str(n)) for n, rate in enumerate(rates)]
    return {
        "rates": list(rates),
        "top1": [top1 for top1, _ in found],
        "loss": [loss for _, loss in found],
        "steps": start.steps,
        "learnt": len(start.dataset.splits["train"].images),
        "classes": len(start.dataset.class_names),
        "best": best_rate(rates, found),
    }


@dataclass(frozen=True)
class _Start:
    """Where training starts: a recipe, with weights or without, and what is to be learnt."""

    recipe: Recipe
    dataset: Dataset
    steps: int

    def tried(self, rate: float, folder: Path) -> tuple[float, float | None]:
        """Accuracy and loss after training with this rate; a loss that is no number ends as
        guessing would, without a loss."""
        lr = rate * self.recipe.batch_size / 128
        recipe = replace(
            self.recipe,
            optimizer=replace(self.recipe.optimizer, lr=lr),
            steps=self.steps,
            epochs=None,
        )
        try:
            *_, done = train(recipe, out=folder, dataset=self.dataset, save_seconds=math.inf)
        except UserError:
            run = Run.open(folder)
            if not run.has("result") or run.read("result")["status"] != "diverged":
                raise
            return 1 / len(self.dataset.class_names), None
        assert isinstance(done, Finished)
        return done.evaluation.top1, done.evaluation.loss


def _start(cell: Cell, folder: Path) -> _Start:
    if cell.setting.weights is None:
        return _own_start(cell, folder)
    backbones = find_backbones(cell.setting.weights)
    require(len(backbones) == 1, "one network is tuned here; name one with --weights")
    (backbone,) = backbones
    view = backbone.found().preprocess
    recipe = comparing(
        cell.setting,
        backbone.name,
        spec=backbone.spec,
        image_size=min(view.image_size, _SIDE),
        batch_size=32,
    )
    weights = backbone.weights if cell.arm.name == _PRETRAINED else None
    recipe = replace(
        recipe,
        model=replace(recipe.model, weights=weights),
        recalibrate=_REMEASURED if batch_norms(backbone.build()) else 0,
        seed=cell.seed,
    )
    return _Start(recipe, load_data(recipe, view), 2 if cell.setting.quick else _STEPS)


def _own_start(cell: Cell, folder: Path) -> _Start:
    """A small network that has learnt the first classes, or a fresh one, before the others."""
    quick = cell.setting.quick
    spec = {"depths": [1, 1, 1]} if quick else {}
    recipe = replace(comparing(cell.setting, "cifar_resnet20", spec=spec), seed=cell.seed)
    names = cell.dataset.class_names
    first = len(names) // 2 + 1  # never as many as the rest, so that the head starts anew
    if cell.arm.name == _PRETRAINED:
        pretraining = _Start(
            recipe, of_classes(cell.dataset, range(first)), 4 if quick else _PRETRAINING
        )
        pretraining.tried(0.1, folder / "pretraining")
        weights = str(checkpoint_of(folder / "pretraining"))
        recipe = replace(recipe, model=replace(recipe.model, weights=weights))
    rest = of_classes(cell.dataset, range(first, len(names)))
    return _Start(recipe, rest, 2 if quick else _STEPS)


def of_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """The images of some classes, which are numbered anew from 0 in their order."""
    number = {cls: place for place, cls in enumerate(classes)}
    splits = {}
    for role, split in dataset.splits.items():
        kept = [i for i, target in enumerate(split.images.targets) if target in number]
        images = split.images.take(kept)
        images = replace(images, targets=tuple(number[target] for target in images.targets))
        splits[role] = Split(images, None if split.views is None else split.views[kept])
    names = tuple(dataset.class_names[cls] for cls in classes)
    return replace(dataset, class_names=names, splits=splits)


def best_rate(rates: Sequence[float], found: Sequence[tuple[float, float | None]]) -> float:
    """The rate of the highest accuracy, among equals of the lowest loss."""

    def worth(place: int) -> tuple[float, float]:
        top1, loss = found[place]
        return top1, -math.inf if loss is None else -loss

    return rates[max(range(len(rates)), key=worth)]


def _decades(results: Results) -> Spread:
    """How many decades the best rate from pretrained weights is below that from fresh ones."""
    pairs = zip(results.values(_FRESH, "best"), results.values(_PRETRAINED, "best"), strict=True)
    return spread([math.log10(fresh / tuned) for fresh, tuned in pairs])


def _about_ten(found: Spread) -> bool:
    """Above none beyond doubt, and ten times is within the interval and half a step of the grid."""
    if found.low is None or found.high is None:
        return False
    return found.low > 0 and found.low - _HALF_STEP <= _STATED <= found.high + _HALF_STEP


def _findings(results: Results) -> Findings:
    found = _decades(results)
    bests = {arm: results.values(arm, "best") for arm in results.arms}
    tops = {arm: [max(top1) for top1 in results.values(arm, "top1")] for arm in results.arms}
    sentences = [
        f"From {arm} the best rates of the seeds are {', '.join(f'{r:.2g}' for r in bests[arm])}, "
        f"which reach {in_unit(spread(tops[arm]), 100, '%', 1)}."
        for arm in results.arms
    ]
    sentences.append(
        f"The best rate from fresh weights is {10**found.mean:.2g} times that from pretrained "
        f"ones: {in_unit(found, 1, 'decades', sign=True)}."
    )
    rates = results.values(_FRESH, "rates")[0]
    at_end = any(best in (rates[0], rates[-1]) for each in bests.values() for best in each)
    if at_end:
        sentences.append("A best rate lies at the end of the grid, so that the ratio is not known.")
    elif found.low is None or found.high is None or found.low <= 0 <= found.high:
        sentences.append("The seeds do not tell that from no difference.")
    elif not _about_ten(found):
        sentences.append("That is not about ten times, which contradicts the rule.")
    enough = results.setting["weights"] is not None and len(results.setting["seeds"]) >= _SEEDS
    if not enough:
        sentences.append("A verdict needs weights that were pretrained elsewhere, and three seeds.")
    shown = enough and not at_end and _about_ten(found)
    computed = {
        "ratio of the best rates, geometric mean": round(10**found.mean, 2),
        **{f"best rate from {arm}": rates for arm, rates in bests.items()},
    }
    verdict = Judged("demonstrated" if shown else "not-reproduced", computed, " ".join(sentences))
    return Findings(tuple(sentences), (_chart(results),), {"transfer.finetune": verdict})


def _chart(results: Results) -> LineChart:
    series = []
    for arm in results.arms:
        rates = results.values(arm, "rates")[0]
        runs = results.values(arm, "top1")
        found = [spread([100 * top1 for top1 in column]) for column in zip(*runs, strict=True)]
        whole = found[0].low is not None
        series.append(
            Series(
                arm,
                rates,
                [s.mean for s in found],
                [s.low or 0.0 for s in found] if whole else None,
                [s.high or 0.0 for s in found] if whole else None,
            )
        )
    first = results.cells[_FRESH][results.setting["seeds"][0]]
    return LineChart(
        "Accuracy by learning rate, from two starts",
        Axis("Learning rate at batches of 128", "log"),
        Axis("Top-1 accuracy (%)"),
        series,
        f"{results.setting['data']}, {first['classes']} classes, {first['learnt']:,} training "
        f"images, {first['steps']} steps, {len(results.setting['seeds'])} seeds. Mean and 95 % "
        "interval over the seeds.",
        marked=True,
    )
