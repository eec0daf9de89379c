"""Few images of one's own: which use of pretrained weights names most of them right?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from fathom.data.batches import evaluation_batches
from fathom.data.catalog import open_catalog
from fathom.data.split import SplitCatalog, split_catalog, stratified
from fathom.errors import require
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import percent
from fathom.features.backbone import Backbone, find_backbones
from fathom.figures.charts import Axis, Point, PointChart
from fathom.training.reports import Finished
from fathom.training.session import train
from fathom.training.setup import load_data
from fathom.transfer.plan import Plan
from fathom.transfer.probe_run import checkpoint_of
from fathom.transfer.session import Record, Transfer
from fathom.transfer.similarity import FAR, NEAR, norm_distance, norm_statistics
from fathom.transfer.strategies import probing

_STRATEGIES = ("probe", "partial", "finetune", "scratch")
_MINUTES, _QUICK_MINUTES = 1.5, 0.01  # of one cell
_EACH = 50  # images of a class
_JUDGING = 1000
_CHOOSING = 0.2  # of the few images
_PRETRAINING = 600  # steps
_SEEDS = 3  # for a verdict


def transfer(setting: Setting) -> Experiment:
    """On few images like those of the pretraining, a new head on frozen features is enough.

    Source: the ledger's rule. Kumar et al. 2022, arXiv:2202.10054, abstract, find against it that
    fine-tuning is 2 % more accurate than a probe on images like those it was tuned on.

        fathom experiment transfer --weights lite --data DATA

    50 images of each class, drawn anew by every seed, are all there is to learn from, a fifth of
    them to choose by; up to 1,000 images judge. Every strategy of `fathom transfer` has a minute
    and a half for everything. Without weights a small network is trained here first, 600 steps on
    all training images: the nearest kind there can be, and no evidence for the rule.

    Written before looking: the rule is shown on images that read as near or somewhat different
    (`fathom.transfer.similarity`), where the probe is not below the best other strategy with
    intervals apart, and above training from scratch with intervals apart.
    Measured: docs/results/experiments.md.
    """
    return _experiment(
        setting,
        claim="transfer.probe",
        expected=(
            "The probe is as good as any fine-tuning, in a fraction of the time, and far better "
            "than training from scratch."
        ),
    )


def transfer_far(setting: Setting) -> Experiment:
    """On few images unlike those of the pretraining, frozen features do not carry over.

    Source: the ledger's rule; Yosinski et al. 2014, arXiv:1411.1792, find that features carry over
    less the further the tasks are apart.

        fathom experiment transfer-far --weights lite --data digits

    The comparison of `transfer`, on other data. Written before looking: shown on images that read
    as far, where the probe is below another strategy with intervals apart.
    Measured: docs/results/experiments.md.
    """
    return _experiment(
        setting,
        claim="transfer.different_domain",
        expected="Training more than the head is better than the probe, perhaps even from scratch.",
    )


def _experiment(setting: Setting, *, claim: str, expected: str) -> Experiment:
    names = [name for name in _STRATEGIES if not setting.quick or name != "partial"]
    return Experiment(
        title="Few images of one's own: which use of pretrained weights is best?",
        expected=expected,
        arms=[Arm(name) for name in names],
        measure=_measure,
        findings=_near_findings if claim == "transfer.probe" else _far_findings,
        claims=(claim,),
    )


def _measure(cell: Cell) -> Values:
    with TemporaryDirectory(prefix="fathom-transfer-") as name:
        folder = Path(name)
        return _transferred(cell, _backbone(cell, folder), folder / "run")


def _backbone(cell: Cell, folder: Path) -> Backbone:
    """The network that is named, or one trained here."""
    if cell.setting.weights is not None:
        backbones = find_backbones(cell.setting.weights)
        require(len(backbones) == 1, "one network is transferred here; name one with --weights")
        return backbones[0]
    spec = {"depths": [1, 1, 1]} if cell.setting.quick else {}
    steps = 4 if cell.setting.quick else _PRETRAINING
    recipe = comparing(cell.setting, "cifar_resnet20", spec=spec)
    recipe = replace(recipe, steps=steps, epochs=None, seed=cell.seed)
    for _ in train(recipe, out=folder / "pretraining", dataset=cell.dataset):
        pass
    (backbone,) = find_backbones(str(checkpoint_of(folder / "pretraining")))
    return backbone


def _transferred(cell: Cell, backbone: Backbone, folder: Path) -> Values:
    """One strategy on the few images of a seed."""
    started = time.monotonic()
    scratch = cell.arm.name == "scratch"
    setting, minutes = cell.setting, _QUICK_MINUTES if cell.setting.quick else _MINUTES
    chosen = few_images(setting, _EACH, cell.seed)
    own = None if scratch or setting.weights else backbone.found().preprocess.image_size
    plan = Plan(
        data=setting.data,
        backbones=(backbone,),
        minutes=minutes,
        strategy=cell.arm.name,  # type: ignore[arg-type]
        image_size=own,  # None leaves it to the time
        seed=cell.seed,
        device=setting.device,
        cache=scratch,  # has no effect there
    )
    session = Transfer(plan, chosen, folder, started, None)
    if scratch:
        recipe = session.fresh(60 * minutes)
        dataset = load_data(recipe, None, chosen=chosen)
        records: Iterator[Record] = train(recipe, out=folder, dataset=dataset, started=started)
    else:
        records = session.records()
    *_, done = records
    assert isinstance(done, Finished)
    return {
        "top1": done.evaluation.top1,
        "seconds": time.monotonic() - started,
        "minutes": minutes,
        "judging": done.evaluation.num_images,
        "images": sum(len(chosen.catalog.splits[role]) for role in ("train", "val")),
        "weights": None if setting.weights is None else backbone.label,
        "distance": None if scratch else _distance(cell, backbone, chosen),
    }


def few_images(setting: Setting, each: int, seed: int) -> SplitCatalog:
    """About so many images of each class by seed, a fifth of them to choose by, and those that
    judge: the same for every seed, none of them in training."""
    whole = split_catalog(open_catalog(setting.data), setting.data, choosing=False)
    images, judging = whole.catalog.splits["train"], whole.catalog.splits[whole.judge]
    fewest = min(Counter(images.targets).values())
    require(
        fewest >= 4,
        f"a class of {whole.catalog.name} has {fewest} training images; this needs 4 or more",
    )
    count = each * len(whole.catalog.class_names)
    if len(images) > count:
        images = images.take(stratified(images.targets, count / len(images), seed)[1])
    if len(judging) > _JUDGING:
        judging = judging.take(stratified(judging.targets, _JUDGING / len(judging), 0)[1])
    kept, held = stratified(images.targets, _CHOOSING, seed)
    splits = {"train": images.take(kept), "val": images.take(held), "test": judging}
    origins = {
        "train": f"about {each} images of each class, by seed, but for those that choose",
        "val": f"{_CHOOSING:.0%} of them",
        "test": whole.origins[whole.judge],
    }
    return SplitCatalog(replace(whole.catalog, splits=splits), origins)


def _distance(cell: Cell, backbone: Backbone, chosen: SplitCatalog) -> float | None:
    """How far the images are from those of the pretraining; None for networks without batch
    norms."""
    own = backbone.found().preprocess
    summary, setting = chosen.catalog.summary(), cell.setting
    recipe = probing(
        setting.data,
        backbone,
        summary,
        image_size=own.image_size,
        seed=cell.seed,
        device=setting.device,
    )
    dataset = load_data(recipe, own, chosen=chosen)
    batches = evaluation_batches(
        dataset.splits["train"], dataset.preprocess, batch_size=64, runtime=cell.runtime, workers=0
    )
    model = backbone.build().to(cell.runtime.device)
    return norm_distance(norm_statistics(model, (batch.images for batch in batches)))


def reading(results: Results) -> str:
    """near, somewhat different, far, or unknown, from the distance on average over the seeds."""
    found = results.values("probe", "distance")
    if None in found:
        return "unknown"
    mean = sum(found) / len(found)
    if mean < NEAR:
        return "near"
    return "somewhat different" if mean < FAR else "far"


def _above(results: Results, one: str, other: str) -> bool:
    """Whether one strategy is better than another, with intervals apart."""
    first, second = results.spread(one, "top1"), results.spread(other, "top1")
    return first.mean > second.mean and first.apart_from(second)


def _near_findings(results: Results) -> Findings:
    best = max((a for a in results.arms if a != "probe"), key=lambda a: _top1(results, a))
    enough = not _above(results, best, "probe")
    helps = _above(results, "probe", "scratch")
    if not enough:
        judged = f"The best other strategy, {best}, is better than the probe."
    elif helps:
        judged = "Nothing is better than the probe, and training from scratch is worse."
    else:
        judged = "The seeds do not tell the probe from training from scratch."
    shown = enough and helps
    return _found(results, "transfer.probe", ("near", "somewhat different"), shown, judged)


def _far_findings(results: Results) -> Findings:
    better = [arm for arm in results.arms if _above(results, arm, "probe")]
    judged = (
        f"Better than the probe: {', '.join(better)}."
        if better
        else "No strategy is better than the probe with intervals apart."
    )
    if _above(results, "finetune", "scratch"):
        judged += " Fine-tuned, the weights are still better than fresh ones."
    return _found(results, "transfer.different_domain", ("far",), bool(better), judged)


def _top1(results: Results, arm: str) -> float:
    return results.spread(arm, "top1").mean


def _found(
    results: Results, claim: str, kinds: tuple[str, ...], shown: bool, judged: str
) -> Findings:
    """What both have in common: the accuracies, the nearness, and what a verdict needs."""
    kind, weights = reading(results), results.values("probe", "weights")[0]
    tops = [f"{arm} {percent(results.spread(arm, 'top1'))}" for arm in results.arms]
    sentences = [f"With the same time each: {', '.join(tops)}.", judged]
    if weights is None:
        sentences.append("The weights were trained here, on images of the same kind.")
    else:
        sentences.append(f"To {weights} these images read as {kind}.")
    enough = weights is not None and len(results.setting["seeds"]) >= _SEEDS and kind in kinds
    if not enough:
        sentences.append(
            f"The rule is about pretrained weights and images that read as {' or '.join(kinds)}, "
            "and a verdict needs three seeds."
        )
    computed = {f"{arm}: top-1 (%)": round(100 * _top1(results, arm), 2) for arm in results.arms}
    verdict = Judged(
        "demonstrated" if enough and shown else "not-reproduced", computed, " ".join(sentences)
    )
    return Findings(tuple(sentences), (_chart(results),), {claim: verdict})


def _chart(results: Results) -> PointChart:
    found = [results.spread(arm, "top1") for arm in results.arms]
    first = results.cells["probe"][results.setting["seeds"][0]]
    return PointChart(
        "Accuracy by strategy, at equal time",
        results.arms,
        Axis("Top-1 accuracy (%)"),
        {
            "top-1": [
                Point(100 * s.mean, s.low and 100 * s.low, s.high and 100 * s.high) for s in found
            ]
        },
        f"{results.setting['data']}, {first['images']:,} images to learn from, "
        f"{first['judging']:,} that judge, {first['minutes']:g} minutes each, "
        f"{len(results.setting['seeds'])} seeds. Mean and 95 % interval over the seeds.",
    )
