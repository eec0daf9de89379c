"""Does a deeper network train better? Plain and residual networks of two depths and more."""

from __future__ import annotations

from collections.abc import Sequence

from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.ending import JUDGES, error_chart
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import percent, points
from fathom.figures.charts import Axis, LineChart, Series
from fathom.training.reports import StepReport

_CURVE = 40  # points of a curve, at most


def degradation(setting: Setting) -> Experiment:
    """Plain networks get worse with depth, in training too; residual ones do not.

    Source: He et al. 2015, arXiv:1512.03385, Figures 1 and 6: on CIFAR-10 the plain network of 56
    layers ends with a higher training error than that of 20, and with shortcuts the deeper one is
    the better one.

        fathom experiment degradation --data DATA --minutes 15

    Departures: the recipe of `fathom.experiments.arms.comparing`, a short cycle and no crops, so
    that the training error is measured on the very images that trained, in evaluation mode; the
    paper trains 64,000 steps and counts augmented batches.

    The rows of the ledger: plain networks get worse where the training errors of three seeds or
    more have intervals that do not overlap; shortcuts cure it where, besides, the deeper residual
    network is not worse than the shallower one in pairs of one seed, by the whole interval of the
    difference. Measured: docs/results/experiments.md.
    """
    depths = (8, 14) if setting.quick else (20, 56)
    arms = [
        Arm(
            f"{kind} {depth}",
            comparing(
                setting,
                "cifar_resnet20",
                spec={"depths": [(depth - 2) // 6] * 3, "residual": kind == "residual"},
            ),
            {"kind": kind, "depth": depth},
        )
        for kind in ("plain", "residual")
        for depth in depths
    ]
    return Experiment(
        title="Does a deeper network train better?",
        expected=(
            "The plain network of 56 layers ends with a higher training error than that of 20, "
            "although it could imitate it; the residual one of 56 does not."
        ),
        arms=arms,
        measure=_measure,
        findings=_findings,
        watch=_watch,
        claims=("degradation.train_error", "degradation.residual_cures"),
    )


def _watch(cell: Cell, report: StepReport) -> None:
    cell.log.setdefault("losses", []).append(report.loss)


def _measure(cell: Cell) -> Values:
    train, judged = cell.evaluation("train"), cell.evaluation()
    losses = cell.log["losses"]
    assert cell.setup is not None
    every = max(1, (cell.setup.recipe.steps or len(losses)) // _CURVE)
    parts = [losses[i : i + every] for i in range(0, len(losses), every)]
    return {
        "train_error": 1 - train.top1,
        "train_loss": train.loss,
        "test_error": 1 - judged.top1,
        "curve_steps": [min((i + 1) * every, len(losses)) for i in range(len(parts))],
        "curve_losses": [sum(part) / len(part) for part in parts],
    }


def _findings(results: Results) -> Findings:
    plain, deep_plain, residual, deep_residual = results.arms
    gaps = [
        results.difference(deep, shallow, "train_error")
        for shallow, deep in ((plain, deep_plain), (residual, deep_residual))
    ]
    sentences = [
        _told(results, plain, deep_plain),
        _told(results, residual, deep_residual),
        f"From the shallow network to the deep one it is {100 * gaps[1].mean:+.1f} points with "
        f"shortcuts, {100 * gaps[0].mean:+.1f} without.",
    ]
    worse = _apart(results, plain, deep_plain) and gaps[0].mean > 0
    cured = worse and gaps[1].low is not None and gaps[1].low <= 0
    verdicts = {
        "degradation.train_error": Judged(
            "demonstrated" if worse else "not-reproduced",
            _computed(results, (plain, deep_plain)),
            sentences[0],
        ),
        "degradation.residual_cures": Judged(
            "demonstrated" if cured else "not-reproduced",
            _computed(results, results.arms),
            " ".join(sentences[1:]),
        ),
    }
    return Findings(tuple(sentences), (error_chart(results), _curves(results)), verdicts)


def _apart(results: Results, shallow: str, deep: str) -> bool:
    """Whether the training errors of three seeds or more have intervals that do not overlap."""
    one, other = (results.spread(arm, "train_error") for arm in (shallow, deep))
    return one.count >= 3 and one.apart_from(other)


def _told(results: Results, shallow: str, deep: str) -> str:
    one, other = (results.spread(arm, "train_error") for arm in (shallow, deep))
    difference = results.difference(deep, shallow, "train_error")
    tests = [results.spread(arm, "test_error").mean for arm in (shallow, deep)]
    text = (
        f"{deep.capitalize()} ends with a training error of {percent(other)}, {shallow} with "
        f"{percent(one)}: {points(difference)}. Their {JUDGES[results.setting['judge']]} errors "
        f"are {100 * tests[1]:.1f} and {100 * tests[0]:.1f} %."
    )
    if difference.low is None or difference.high is None:
        return f"{text} One seed tells no spread."
    if difference.low <= 0 <= difference.high:
        return f"{text} These seeds do not tell that from no difference."
    return f"{text} The deeper one trains {'worse' if difference.mean > 0 else 'better'}."


def _computed(results: Results, arms: Sequence[str]) -> Values:
    judge = JUDGES[results.setting["judge"]]
    return {
        f"{arm}, {name} error (%)": round(100 * results.spread(arm, key).mean, 2)
        for arm in arms
        for name, key in (("training", "train_error"), (judge, "test_error"))
    }


def _curves(results: Results) -> LineChart:
    series = []
    for arm in results.arms:
        runs = results.values(arm, "curve_losses")
        columns = list(zip(*runs, strict=False))  # one that diverged is shorter
        series.append(
            Series(
                arm,
                results.values(arm, "curve_steps")[0][: len(columns)],
                [sum(column) / len(column) for column in columns],
                [min(column) for column in columns],
                [max(column) for column in columns],
            )
        )
    return LineChart(
        "Training loss along the way",
        Axis("Step"),
        Axis("Training loss (nats)"),
        series,
        f"{results.caption} Mean over the seeds, and their range.",
    )
