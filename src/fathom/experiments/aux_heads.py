"""Do classifiers in the middle of a network bring gradient, or do they regularise?"""

from __future__ import annotations

from statistics import fmean

from torch import nn

from fathom.experiments.arms import comparing
from fathom.experiments.bands import band
from fathom.experiments.cell import Cell
from fathom.experiments.ending import JUDGES, end_errors, error_chart
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import in_unit, percent, points
from fathom.figures.charts import Axis, LineChart
from fathom.models.base import ImageClassifier
from fathom.models.variants.googlenet import VARIANTS
from fathom.spread import Spread, spread
from fathom.training.reports import StepReport

CLAIM = "googlenet.aux_effect"
_CURVE = 40  # points of a curve, at most
_EARLY = 0.25  # of the steps


def aux_heads(setting: Setting) -> Experiment:
    """GoogLeNet with auxiliary classifiers and without: gradient and accuracy early, error late.

    Source: Szegedy et al. 2014, arXiv:1409.4842, Section 5, put two classifiers in the middle to
    bring gradient to the lower layers and to regularise. Szegedy et al. 2015, arXiv:1512.00567,
    Section 4, found with batch norm that they do not make the beginning faster, that they end at a
    slightly higher accuracy, and concluded that they regularise.

        fathom experiment aux-heads --data DATA

    What is asked, decided before looking. The gradient of stem and first stage over the first
    quarter of the steps: do the heads enlarge it? The accuracy of the last classifier on the
    training batches of that quarter: is the beginning faster, so that the gradient helps? The
    errors at the end: heads regularise if the error on images that did not train is lower while the
    training error is not. The ledger's row is demonstrated where, with batch norm, they regularise
    and the beginning is not faster, each by intervals that do not overlap. The network without
    norms, which is that of 2014, is told beside it.

    Departures: a quarter of the paper's channels, one 3x3 convolution as stem, so that 8 pixels are
    enough, torchvision's pooling in the heads, and the recipe of
    `fathom.experiments.arms.comparing` with a learning rate of 0.02, which the network without
    norms bears. Measured: docs/results/experiments.md.
    """
    norms = {"batch norm": "batch"} if setting.quick else {"batch norm": "batch", "no norm": "none"}
    arms = []
    for name, norm in norms.items():
        for heads in (True, False):
            spec = {
                "widths": _widths(setting.quick),
                "norm": norm,
                "stem": "cifar",
                "auxiliary": heads,
                "auxiliary_pool": "adaptive",
            }
            recipe = comparing(setting, "googlenet", spec=spec, lr=0.02)
            arms.append(Arm(f"{name}, {'heads' if heads else 'none'}", recipe))
    return Experiment(
        title="Do classifiers in the middle bring gradient, or do they regularise?",
        expected=(
            "With heads the early gradient is larger, but with batch norm the beginning is no "
            "faster; at the end the error on new images is slightly lower."
        ),
        arms=arms,
        measure=_measure,
        findings=_findings,
        watch=_watch,
        claims=(CLAIM,),
    )


def _widths(quick: bool) -> list[list[list[int]]]:
    """A quarter of Table 1; a quick network has as few blocks as the two heads allow."""
    table = VARIANTS[0].spec["widths"]
    counts = (1, 4, 1) if quick else (2, 5, 2)
    return [
        [[width // 4 for width in row] for row in stage[:count]]
        for stage, count in zip(table, counts, strict=True)
    ]


def early_gradient(model: ImageClassifier) -> float:
    """The norm of the gradient of all weights in the stem and the first stage."""
    weights = [*model.stem.parameters(), *model.stages[0].parameters()]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    return nn.utils.get_total_norm(gradients).item()


def _watch(cell: Cell, report: StepReport) -> None:
    cell.log.setdefault("gradient", []).append(early_gradient(cell.model))
    cell.log.setdefault("top1", []).append(report.top1)


def _measure(cell: Cell) -> Values:
    gradient, top1 = cell.log["gradient"], cell.log["top1"]
    first = max(1, round(_EARLY * len(gradient)))
    every = max(1, len(gradient) // _CURVE)
    places = range(0, len(gradient), every)
    return {
        **end_errors(cell),
        "early_gradient": fmean(gradient[:first]),
        "early_top1": fmean(top1[:first]),
        "curve_steps": [min(i + every, len(gradient)) for i in places],
        "curve_gradient": [fmean(gradient[i : i + every]) for i in places],
    }


def _findings(results: Results) -> Findings:
    pairs = list(zip(results.arms[::2], results.arms[1::2], strict=True))
    told = [sentence for pair in pairs for sentence in _told(results, *pair)]
    judged = _judged(results, *pairs[0])
    charts = (error_chart(results), _curves(results))
    return Findings((_concluded(results, *pairs[0]), *told), charts, {CLAIM: judged})


def _judged(results: Results, heads: str, none: str) -> Judged:
    """The verdict of the ledger's row, as the docstring above defines it; it takes three seeds."""
    shown = (
        _regularises(results, heads, none)
        and not _lower(results, none, heads, "early_top1")
        and len(results.setting["seeds"]) >= 3
    )
    names = {
        "early gradient": ("early_gradient", 1),
        "early accuracy (%)": ("early_top1", 100),
        "training error (%)": ("train_error", 100),
        f"{JUDGES[results.setting['judge']]} error (%)": ("test_error", 100),
    }
    return Judged(
        "demonstrated" if shown else "not-reproduced",
        {
            f"{arm}, {name}": round(factor * results.spread(arm, key).mean, 4)
            for arm in (heads, none)
            for name, (key, factor) in names.items()
        },
        " ".join((_concluded(results, heads, none), *_told(results, heads, none))),
    )


def _regularises(results: Results, heads: str, none: str) -> bool:
    """Whether heads lower the error on new images beyond doubt, and not that of training."""
    better, fitter = (_lower(results, heads, none, key) for key in ("test_error", "train_error"))
    return better and not fitter


def _lower(results: Results, one: str, other: str, key: str) -> bool:
    """Whether a value of one arm lies below that of the other by intervals that do not overlap."""
    mine, theirs = results.spread(one, key), results.spread(other, key)
    return mine.apart_from(theirs) and mine.mean < theirs.mean


def _concluded(results: Results, heads: str, none: str) -> str:
    regularises = _regularises(results, heads, none)
    faster = _lower(results, none, heads, "early_top1")
    if regularises and not faster:
        return "With batch norm the heads regularise and do not make the beginning faster."
    if regularises:
        return "With batch norm the heads regularise, and they make the beginning faster, too."
    if faster:
        return (
            "With batch norm the heads make the beginning faster and are not seen to regularise, "
            "which is not what Szegedy et al. found in 2015."
        )
    return (
        "With batch norm neither a faster beginning nor a regularisation by the heads is shown at "
        "this scale."
    )


def _told(results: Results, heads: str, none: str) -> tuple[str, str, str]:
    judge = JUDGES[results.setting["judge"]]
    early = [results.spread(arm, "early_top1") for arm in (heads, none)]
    errors = [results.spread(arm, "test_error") for arm in (heads, none)]
    trained = [results.spread(arm, "train_error") for arm in (heads, none)]
    ratio = _ratio(results, heads, none)
    kind = heads.partition(",")[0].capitalize()
    return (
        f"{kind}: with heads the gradient of stem and first stage is "
        f"{in_unit(ratio, 1, 'times')} as large over the first quarter of the steps.",
        f"The accuracy of that quarter is {percent(early[0])} with heads, {percent(early[1])} "
        f"without{_overlap(*early)}.",
        f"At the end the {judge} error is {percent(errors[0])} with heads, {percent(errors[1])} "
        f"without, {points(results.difference(heads, none, 'test_error'))}"
        f"{_overlap(*errors)}; the training error is {percent(trained[0])} and "
        f"{percent(trained[1])}{_overlap(*trained)}.",
    )


def _ratio(results: Results, one: str, other: str) -> Spread:
    values = (results.values(arm, "early_gradient") for arm in (one, other))
    return spread([mine / theirs for mine, theirs in zip(*values, strict=True)])


def _overlap(one: Spread, other: Spread) -> str:
    return "" if one.apart_from(other) else " (the intervals overlap)"


def _curves(results: Results) -> LineChart:
    series = [
        band(arm, results.values(arm, "curve_steps")[0], results.values(arm, "curve_gradient"))
        for arm in results.arms
    ]
    return LineChart(
        "Gradient of the stem and the first stage",
        Axis("Step"),
        Axis("Norm of the gradient", "log"),
        series,
        f"{results.caption} Mean over the seeds, and their range.",
    )
