"""What narrows the gap between the images that trained and new ones?"""

from __future__ import annotations

from dataclasses import replace

from fathom.data.settings import Mixup, PadCrop
from fathom.experiments.arms import comparing, small_size
from fathom.experiments.bands import point
from fathom.experiments.cell import Cell
from fathom.experiments.ending import JUDGES, percent_chart
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import points
from fathom.figures.charts import Axis, PointChart
from fathom.recipes.fitting import batch_of, mirrored
from fathom.spread import Spread
from fathom.training.choices import CrossEntropy
from fathom.training.recipe import Recipe

_NONE = "none"


def regularisers(setting: Setting) -> Experiment:
    """The gap between training and test accuracy, by technique, one at a time, on few images.

    Source: weight decay as in He et al. 2015, arXiv:1512.03385, Section 4.2, but five times as
    strong, 0.0005; dropout of one half before the classifier, Srivastava et al. 2014, JMLR 15;
    label smoothing of 0.1, arXiv:1512.00567, Section 7; mirrors and crops of images padded by an
    eighth, as in arXiv:1512.03385 (4 of 32 pixels); mixup with alpha 1, arXiv:1710.09412; a gray
    square of half the image's side, arXiv:1708.04552; stochastic depth down to one half,
    arXiv:1603.09382. Each paper reports a lower test error on large data.

        fathom experiment regularisers --data DATA --images 500

    The gap is wide where images are few: give some hundred by --images. Accuracies of training are
    of the plain images in evaluation mode, without crops, mixtures or drops, so that the gap
    compares like with like. A gap also closes where a network learns less; the two accuracies say
    which it was. An effect is called one where the 95 % interval of the difference, in pairs of
    one seed, leaves out zero; with seven techniques one of many such intervals is wrong by chance.

    Departures: a residual network of 14 layers, and the recipe of
    `fathom.experiments.arms.comparing` in batches of 32 without its own weight decay and mirror;
    gray images, which may be digits, are not mirrored. Measured: docs/results/experiments.md.
    """
    techniques = _recipes(setting)
    chosen = list(techniques)[:3] if setting.quick else list(techniques)
    return Experiment(
        title="What narrows the gap between the images that trained and new ones?",
        expected=(
            "Without any technique nearly all training images are named right and far fewer new "
            "ones. Crops and mirrors help new images the most; mixup, cutout and the others "
            "narrow the gap by less."
        ),
        arms=[Arm(name, techniques[name]) for name in chosen],
        measure=_measure,
        findings=_findings,
    )


def _recipes(setting: Setting) -> dict[str, Recipe]:
    """technique -> recipe; those whose code is the network's own come first."""
    size = small_size(setting)
    blocks = [1 if setting.quick else 2] * 3
    plain = comparing(
        setting,
        "cifar_resnet20",
        spec={"depths": blocks},
        batch_size=batch_of(setting.summary.num_train, 32),
    )
    plain = replace(
        plain,
        optimizer=replace(plain.optimizer, weight_decay=0.0),
        augment=replace(plain.augment, flip=False),
    )

    def with_spec(**switches: float) -> Recipe:
        return replace(plain, model=replace(plain.model, spec={"depths": blocks, **switches}))

    def augmented(**changes: object) -> Recipe:
        return replace(plain, augment=replace(plain.augment, **changes))  # type: ignore[arg-type]

    cropped = "crops and mirrors" if mirrored(setting.summary) else "crops"
    return {
        _NONE: plain,
        "stochastic depth": with_spec(stochastic_depth=0.5),
        cropped: augmented(crop=PadCrop(max(1, size // 8)), flip=mirrored(setting.summary)),
        "dropout": with_spec(dropout=0.5),
        "weight decay": replace(plain, optimizer=replace(plain.optimizer, weight_decay=5e-4)),
        "label smoothing": replace(plain, loss=CrossEntropy(label_smoothing=0.1)),
        "mixup": augmented(mix=Mixup(alpha=1.0)),
        "cutout": augmented(cutout=size // 2),
    }


def _measure(cell: Cell) -> Values:
    train, judged = cell.evaluation("train").top1, cell.evaluation().top1
    return {"train_accuracy": train, "test_accuracy": judged, "gap": train - judged}


def _findings(results: Results) -> Findings:
    judge = JUDGES[results.setting["judge"]]
    train, test, gap = (
        results.spread(_NONE, key) for key in ("train_accuracy", "test_accuracy", "gap")
    )
    techniques = [arm for arm in results.arms if arm != _NONE]
    sentences = [
        f"Without any technique {100 * train.mean:.1f} % of the training images are named right "
        f"and {100 * test.mean:.1f} % of the {judge} images: a gap of {points(gap)}.",
        *(_told(results, arm, judge) for arm in techniques),
    ]
    best = max(results.arms, key=lambda arm: results.spread(arm, "test_accuracy").mean)
    sentences.append(f"The highest {judge} accuracy, on average, is that with {best}.")
    return Findings(tuple(sentences), (_accuracies(results, judge), _gaps(results, judge)))


def _told(results: Results, arm: str, judge: str) -> str:
    """What a technique does to the gap and to the accuracy on new images."""
    gap, test = (results.difference(arm, _NONE, key) for key in ("gap", "test_accuracy"))
    text = f"With {arm} the gap changes by {points(gap)}, and {judge} accuracy by {points(test)}: "
    narrower, better = _sign(gap) < 0, _sign(test)
    if narrower and better > 0:
        return f"{text}it helps."
    if narrower and better < 0:
        return f"{text}the gap closes because the network learns less."
    if narrower:
        return f"{text}the gap closes, but no gain on new images is shown."
    if better:
        return f"{text}new images are named {'better' if better > 0 else 'worse'}."
    return f"{text}no effect on new images is shown."


def _sign(difference: Spread) -> int:
    """1 or -1 where the whole interval is above or below zero, else 0."""
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return 0
    return 1 if difference.low > 0 else -1


def _accuracies(results: Results, judge: str) -> PointChart:
    groups = {"training": "train_accuracy", judge: "test_accuracy"}
    title = "Accuracy on the images that trained and on new ones"
    return percent_chart(results, title, "Accuracy (%)", groups)


def _gaps(results: Results, judge: str) -> PointChart:
    return PointChart(
        f"Gap between training and {judge} accuracy",
        results.arms,
        Axis("Gap (points)"),
        {"gap": [point(results.spread(arm, "gap"), 100) for arm in results.arms]},
        f"{results.caption} Mean and 95 % interval; the line is the gap without any technique.",
        reference=100 * results.spread(_NONE, "gap").mean,
    )
