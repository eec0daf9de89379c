"""Batch norm before the activation or after it?"""

from __future__ import annotations

from fathom.experiments.arms import comparing
from fathom.experiments.ending import JUDGES, end_errors, error_chart
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting
from fathom.experiments.words import percent, points
from fathom.spread import Spread

CLAIM = "bn.placement"
MARGIN = 0.02  # of test error: what "about equally well" means
_KINDS = ("plain", "residual")


def bn_placement(setting: Setting) -> Experiment:
    """Batch norm before the ReLU and after it, in a plain and a residual network, equal steps.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.2, put it before: the sum of a layer
    is nearer to a normal distribution than what follows the ReLU. Mishkin et al. 2016,
    arXiv:1606.02228, with the table of their benchmark (caffenet-benchmark, batchnorm.md), found it
    better after: 49.3 against 47.8 % on small ImageNet pictures.

        fathom experiment bn-placement --data DATA --seeds 5

    "About equally well" was given a meaning before anybody looked: the whole 95 % interval of the
    difference in error on the images that judge, in pairs of one seed, lies within 2 points of
    zero, for the plain and for the residual network. An interval that is wider proves nothing
    either way. More seeds make it narrower.

    Departures: 20 layers of 16 to 64 channels and the recipe of `fathom.experiments.arms.comparing`
    for both orders; the papers normalise AlexNet and Inception. Measured:
    docs/results/experiments.md.
    """
    blocks = 1 if setting.quick else 3
    arms = [
        Arm(
            f"{kind}, {place}",
            comparing(
                setting,
                "cifar_resnet20",
                spec={
                    "depths": [blocks] * 3,
                    "residual": kind == "residual",
                    "norm_place": place,
                },
            ),
        )
        for kind in _KINDS
        for place in ("before", "after")
    ]
    return Experiment(
        title="Batch norm before the activation or after it?",
        expected="Both orders end within 2 points of each other, without shortcuts and with them.",
        arms=arms,
        measure=end_errors,
        findings=_findings,
        claims=(CLAIM,),
    )


def _findings(results: Results) -> Findings:
    differences = [
        results.difference(f"{kind}, after", f"{kind}, before", "test_error") for kind in _KINDS
    ]
    sentences = tuple(
        _told(results, kind, difference)
        for kind, difference in zip(_KINDS, differences, strict=True)
    )
    equal = all(difference.count >= 3 and _within(difference) for difference in differences)
    verdict = Judged(
        "demonstrated" if equal else "not-reproduced",
        {
            f"{kind}, after - before (points of {JUDGES[results.setting['judge']]} error)": [
                round(100 * side, 2) for side in _sides(difference)
            ]
            for kind, difference in zip(_KINDS, differences, strict=True)
        },
        f"About equally well means an interval within {100 * MARGIN:g} points of zero. "
        + " ".join(sentences),
    )
    return Findings(sentences, (error_chart(results),), {CLAIM: verdict})


def _sides(difference: Spread) -> list[float]:
    """Mean, and the ends of the interval where there is one."""
    sides = (difference.mean, difference.low, difference.high)
    return [side for side in sides if side is not None]


def _within(difference: Spread) -> bool:
    """Whether the whole interval is within the margin; False where there is none."""
    if difference.low is None or difference.high is None:
        return False
    return max(-difference.low, difference.high) <= MARGIN


def _told(results: Results, kind: str, difference: Spread) -> str:
    before, after = (results.spread(f"{kind}, {p}", "test_error") for p in ("before", "after"))
    text = (
        f"The {kind} network ends with a {JUDGES[results.setting['judge']]} error of "
        f"{percent(before)} with the norm before the ReLU and {percent(after)} with it after: "
        f"{points(difference)}."
    )
    if difference.low is None or difference.high is None:
        return f"{text} One seed has no interval, so nothing is decided."
    margin = f"{100 * MARGIN:g} points"
    if _within(difference):
        return f"{text} The interval lies within {margin}: they work about equally well."
    if difference.low > 0 or difference.high < 0:
        better = "before" if difference.low > 0 else "after"
        beyond = min(abs(difference.low), abs(difference.high)) > MARGIN
        size = f"by more than {margin}" if beyond else f"perhaps by more than {margin}"
        return f"{text} The norm {better} the ReLU is better here, {size}."
    return f"{text} The interval reaches beyond {margin}, so these seeds do not decide it."
