"""Does the gradient reach the first layers? By skips, norms, depth and the scale of weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from torch import Tensor, nn

from fathom.experiments.arms import comparing
from fathom.experiments.bands import band, point
from fathom.experiments.cell import Cell
from fathom.experiments.flow import IMAGES, go_back, gradient_norms
from fathom.experiments.fresh import Fresh, fresh_network
from fathom.experiments.initialisation import DEVIATIONS
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.paths import lesions, removable, rows
from fathom.experiments.words import percent, points, undecided
from fathom.figures.charts import Axis, Chart, LineChart, PointChart
from fathom.models.base import ImageClassifier
from fathom.spread import spread
from fathom.training.reports import StepReport

_PLACES = 20  # layers of a profile that are stored, at most
_LESIONED = 256  # images on which networks without some blocks are judged
_DRAWS = 3
_LEAST = 1e-200  # what a gradient of zero counts as, so that it has a logarithm
_HEALTHY = 1.0  # powers of ten between the first and the last layer
_PLAIN, _RESIDUAL = _NORMED = ("plain, batch norm", "residual, batch norm")


def gradient_flow(setting: Setting) -> Experiment:
    """The gradient by layer, with skips and norms and without; what is left when blocks go.

    Source: He et al. 2015, arXiv:1512.03385, Section 4.1: with batch norm gradients of plain
    networks are healthy, so that their degradation is not from vanishing ones. Yang et al. 2019,
    arXiv:1902.08129, abstract: batch norm makes gradients explode with depth where there are no
    skips, whatever the variance of the weights. Veit et al. 2016, arXiv:1605.06431, Sections 3 and
    4: a residual network of L blocks is 2^L paths; without one block it is nearly as good, without
    several it gets worse by and by, while VGG without one layer only guesses.

        fathom experiment gradient-flow --data DATA --minutes 10

    CIFAR networks (arXiv:1512.03385, Section 4.2), plain and residual, with batch norm and without.
    Fresh: 8 to 152 layers with Kaiming's weights, 56 with each scheme of `initialisation`; the norm
    of the gradient of every convolution on 16 training images, in float64. Depths are compared by
    the first layer's norm over the last one's, schemes by the first layer's norm itself: without
    norms a factor on all weights changes all gradients alike. Trained: 32 layers at one learning
    rate, the gradient of the batch at the first step, at a third, two thirds and the end; then
    blocks that keep the shape are deleted, one each or some at random, and 256 images judge.
    Measuring comes on top of the minutes. Departure: Veit et al. delete from 110 layers, and layers
    of a VGG. Measured: docs/results/experiments.md.
    """
    depth = 14 if setting.quick else 32
    start, schemes_at = ((8,), 8) if setting.quick else ((8, 20, 56, 110, 152), 56)
    return Experiment(
        title="Does the gradient reach the first layers?",
        expected=(
            "Without norms the gradient of plain networks vanishes or explodes with depth, by the "
            "scale of the weights; batch norm or shortcuts keep it within some powers of ten, both "
            "together best. A trained residual network bears the loss of a block, a plain one does "
            "not."
        ),
        arms=[
            Arm(
                f"{kind}, {named}",
                comparing(
                    setting,
                    "cifar_resnet20",
                    spec=Fresh(depth, kind == "residual", norm).spec,
                    lr=0.05,
                ),
                {
                    "kind": kind,
                    "norm": norm,
                    "depths": start,
                    "schemes_at": schemes_at,
                },
            )
            for kind in ("plain", "residual")
            for norm, named in (("none", "no norm"), ("batch", "batch norm"))
        ],
        measure=_measure,
        findings=_findings,
        watch=_watch,
    )


def profile(model: nn.Module) -> list[float]:
    """The norm of the gradient of each convolution's weights, from the images to the logits, as a
    power of ten; -200 where it is zero."""
    return [math.log10(max(norm, _LEAST)) for norm in gradient_norms(model)]


def fresh_profile(model: ImageClassifier, images: Tensor, targets: Tensor) -> list[float]:
    """`profile` of a network in training mode for the mean cross entropy of images."""
    go_back(model, images, targets)
    return profile(model)


def _fresh(cell: Cell, depth: int, scheme: str) -> list[float]:
    settings = cell.arm.settings
    model = fresh_network(
        Fresh(depth, settings["kind"] == "residual", settings["norm"], scheme),
        cell.seed,
        num_classes=cell.model.num_classes,
        in_channels=cell.model.in_channels,
    )
    batch = next(cell.batches("train", images=IMAGES, batch_size=IMAGES))
    return fresh_profile(model, batch.images.cpu().double(), batch.targets.cpu())


def moments(steps: int) -> list[int]:
    """The first step, a third, two thirds and the last."""
    return sorted({1, math.ceil(steps / 3), math.ceil(2 * steps / 3), steps})


def _watch(cell: Cell, report: StepReport) -> None:
    assert cell.setup is not None
    assert cell.setup.recipe.steps is not None
    if report.step in moments(cell.setup.recipe.steps):
        cell.log.setdefault("at", []).append(report.step)
        cell.log.setdefault("along", []).append(_decades(profile(cell.model)))


def _decades(norms: Sequence[float]) -> float:
    """Powers of ten by which the first layer's gradient is larger than the last one's."""
    return round(norms[0] - norms[-1], 4)


def _thinned(norms: Sequence[float]) -> dict[str, list[float]]:
    """Some layers, counted from 1, and their gradients' powers of ten."""
    count = min(_PLACES, len(norms))
    places = [round(i * (len(norms) - 1) / (count - 1)) for i in range(count)]
    return {"layers": [p + 1 for p in places], "norms": [round(norms[p], 3) for p in places]}


def _measure(cell: Cell) -> Values:
    settings = cell.arm.settings
    at = settings["schemes_at"]
    by_depth = {depth: _fresh(cell, depth, "Kaiming") for depth in settings["depths"]}
    by_scheme = {s: by_depth[at] if s == "Kaiming" else _fresh(cell, at, s) for s in DEVIATIONS}
    values: Values = {
        "schemes_at": at,
        "profile": _thinned(by_depth[at]),
        "by_depth": {str(depth): _decades(norms) for depth, norms in by_depth.items()},
        "by_scheme": {scheme: round(norms[0], 4) for scheme, norms in by_scheme.items()},
        "at": cell.log.get("at", []),
        "along": cell.log.get("along", []),
        "whole": "diverged" not in cell.log,
        "train_error": 1 - cell.evaluation("train").top1,
    }
    if settings["norm"] == "batch":
        batches = list(cell.batches(images=_LESIONED))
        counts, errors = lesions(cell.model, batches, cell.runtime, draws=_DRAWS, seed=cell.seed)
        values |= {
            "blocks": sum(map(len, rows(cell.model))),
            "removable": len(removable(cell.model)),
            "deleted": counts,
            "errors": errors,
            "intact": errors[0],
            "without_one": errors[1],
            "harm": errors[1] - errors[0],
        }
    return values


def _findings(results: Results) -> Findings:
    depths = results.values(_PLAIN, "by_depth")[0]
    trained = [arm for arm in results.arms if all(results.values(arm, "whole"))]
    sentences = [
        _by_depth(results, list(depths)[-1]),
        _healthy(results),
        _by_scheme(results),
        _trained(results, trained),
        _lesioned(results),
        _paths(results),
    ]
    charts: list[Chart] = [
        _profiles(results),
        _depths(results, list(depths)),
        _schemes(results),
        *([_along(results, trained)] if trained else []),
        _deletions(results),
    ]
    return Findings(tuple(sentences), tuple(charts))


def _nested(results: Results, arm: str, key: str, inner: str) -> list[float]:
    return [values[inner] for values in results.values(arm, key)]


def _power(value: float) -> str:
    return f"10^{value:.1f}"


def _by_depth(results: Results, depth: str) -> str:
    told = (
        f"{_power(fmean(_nested(results, arm, 'by_depth', depth)))} ({arm})" for arm in results.arms
    )
    return (
        f"In fresh networks of {depth} layers with Kaiming's weights the first layer's gradient is "
        f"this many times the last one's: {', '.join(told)}."
    )


def _healthy(results: Results) -> str:
    """He et al. against Yang et al.: the plain networks with batch norm."""
    deepest = list(results.values(_PLAIN, "by_depth")[0])[-1]
    found = spread(_nested(results, _PLAIN, "by_depth", deepest))
    if found.mean > _HEALTHY:
        return (
            f"Plain networks with batch norm do not lose their gradient, it explodes towards the "
            f"first layers: at {deepest} layers by {_power(found.mean)}. Yang et al. 2019 found "
            "that; it contradicts the healthy gradients of He et al. 2015 at the start of training."
        )
    if found.mean < -_HEALTHY:
        return (
            f"Plain networks with batch norm lose their gradient towards the first layers: at "
            f"{deepest} layers {_power(found.mean)} is left. That contradicts He et al. 2015, who "
            "found it healthy, and Yang et al. 2019, who found it exploding."
        )
    return (
        f"In plain networks with batch norm the gradient stays within a factor of ten over "
        f"{deepest} layers, as He et al. 2015 say; the explosion of Yang et al. 2019 is not seen."
    )


def _by_scheme(results: Results) -> str:
    """How far apart the schemes are in each kind of network."""
    told = []
    for arm in results.arms:
        means = [fmean(_nested(results, arm, "by_scheme", scheme)) for scheme in DEVIATIONS]
        told.append(f"{max(means) - min(means):.1f} ({arm})")
    return (
        "Between the schemes of initialisation the norm of the first layer's gradient spans this "
        f"many powers of ten at {results.values(_PLAIN, 'schemes_at')[0]} layers: "
        f"{', '.join(told)}."
    )


def _trained(results: Results, trained: Sequence[str]) -> str:
    told = [
        f"{_power(fmean(run[0] for run in results.values(arm, 'along')))} at the first step and "
        f"{_power(fmean(run[-1] for run in results.values(arm, 'along')))} at the last ({arm}; "
        f"training error {percent(results.spread(arm, 'train_error'))})"
        for arm in trained
    ]
    text = (
        f"In trained networks the first layer's gradient over the last one's is {'; '.join(told)}."
        if told
        else ""
    )
    broken = [arm for arm in results.arms if arm not in trained]
    if broken:
        text += f" Training broke off in {' and '.join(broken)}: the loss was no number any more."
    return text.strip()


def _lesioned(results: Results) -> str:
    plain, residual = (results.spread(arm, "harm") for arm in _NORMED)
    text = (
        f"Deleting one of {results.values(_PLAIN, 'removable')[0]} blocks raises the error of the "
        f"residual network by {points(residual)}, from "
        f"{percent(results.spread(_RESIDUAL, 'intact'))}, and that of the plain one by "
        f"{points(plain)}, from {percent(results.spread(_PLAIN, 'intact'))}."
    )
    if not plain.apart_from(residual):
        return f"{text} {undecided(plain)}"
    if plain.mean > residual.mean:
        return f"{text} The residual network bears it better, as Veit et al. 2016 found."
    return f"{text} The plain network bears it better, which contradicts Veit et al. 2016."


def _paths(results: Results) -> str:
    blocks = results.values(_RESIDUAL, "blocks")[0]
    deleted = results.values(_RESIDUAL, "deleted")[0]
    errors = spread([run[-1] for run in results.values(_RESIDUAL, "errors")])
    return (
        f"Its {blocks} blocks are 2^{blocks} = {2**blocks:,} paths. Without one block half of them "
        f"are left; without {deleted[-1]}, {2 ** (blocks - deleted[-1]):,}, and the error is "
        f"{percent(errors)}."
    )


def _profiles(results: Results) -> LineChart:
    series = []
    for arm in results.arms:
        runs = results.values(arm, "profile")
        norms = [[10**value for value in run["norms"]] for run in runs]
        series.append(band(arm, runs[0]["layers"], norms, log=True))
    return LineChart(
        f"Gradient of fresh networks of {results.values(_PLAIN, 'schemes_at')[0]} layers",
        Axis("Convolution, from the image"),
        Axis("Norm of the gradient", "log"),
        series,
        f"{results.caption} Nothing trained yet, Kaiming's weights. Geometric mean over the seeds, "
        "and their range.",
    )


_RATIO = Axis("Gradient of the first layer over the last", "log")


def _depths(results: Results, depths: Sequence[str]) -> LineChart:
    return LineChart(
        "Gradient of the first layer by depth",
        Axis("Layers"),
        _RATIO,
        [
            band(
                arm,
                [int(depth) for depth in depths],
                [[10 ** run[d] for d in depths] for run in results.values(arm, "by_depth")],
                log=True,
            )
            for arm in results.arms
        ],
        f"{results.caption} Nothing trained yet, Kaiming's weights. Geometric mean over the seeds, "
        "and their range.",
        marked=True,
    )


def _schemes(results: Results) -> PointChart:
    return PointChart(
        f"First gradient by initialisation, {results.values(_PLAIN, 'schemes_at')[0]} layers",
        list(DEVIATIONS),
        Axis("Norm of the first layer's gradient (powers of ten)"),
        {
            arm: [point(spread(_nested(results, arm, "by_scheme", s))) for s in DEVIATIONS]
            for arm in results.arms
        },
        f"{results.caption} Nothing trained yet. Mean and 95 % interval.",
        reference=0.0,
    )


def _along(results: Results, trained: Sequence[str]) -> LineChart:
    return LineChart(
        "Gradient of the first layer along the training",
        Axis("Step"),
        _RATIO,
        [
            band(
                arm,
                results.values(arm, "at")[0],
                [[10**value for value in run] for run in results.values(arm, "along")],
                log=True,
            )
            for arm in trained
        ],
        f"{results.caption} Geometric mean over the seeds, and their range.",
        marked=True,
    )


def _deletions(results: Results) -> LineChart:
    return LineChart(
        "Error without some blocks",
        Axis("Blocks deleted"),
        Axis(f"Error on {results.setting['judge']} images (%)"),
        [
            band(
                arm,
                results.values(arm, "deleted")[0],
                [[100 * error for error in run] for run in results.values(arm, "errors")],
            )
            for arm in _NORMED
        ],
        f"{results.caption} One block each in its turn, more at random. Mean over the seeds, and "
        "their range.",
        marked=True,
    )
