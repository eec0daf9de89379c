"""Do the inputs of a layer drift while it trains, and does batch norm hold them?"""

from __future__ import annotations

import copy
from statistics import fmean

import torch
from torch import Tensor, nn

from fathom.experiments.arms import comparing
from fathom.experiments.bands import band
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting, Values
from fathom.experiments.words import in_unit, percent
from fathom.figures.charts import Axis, LineChart
from fathom.models.base import ImageClassifier
from fathom.training.reports import StepReport

_CLAIM = "bn.covariate_shift"
_LOOKS = 20  # moments at which a single step's drift is measured
_SEEDS = 3  # for a verdict
_STAYS = 1.0  # own spreads: inputs that moved less have stayed about where they were

_LEAST = 1e-12  # a spread that dead units leave

Moments = list[tuple[Tensor, Tensor]]  # mean and deviation by channel, for each layer


def covariate_shift(setting: Setting) -> Experiment:
    """How far the inputs of layers move in a step and over the training, with batch norm or none.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Sections 2 and 4.1: the inputs of layers drift
    while a network trains, batch norm makes their distribution more stable, and that is why it
    helps. Disputed by Santurkar et al. 2018, arXiv:1805.11604, Section 2: with noise behind batch
    norm the inputs drift more than without norms, and training is as fast as with batch norm.

        fathom experiment covariate-shift --data DATA --minutes 10

    A plain network of 8 layers (He et al. 2015, arXiv:1512.03385, Section 4.2), so shallow that it
    learns without norms, too, at the same learning rate. Inputs of every convolution but the first
    are looked at on 128 fixed training images, in training mode as the layers meet them. Their
    drift is the distance between the means and deviations of their channels, in units of their own
    spread, see `drift`. This says whether inputs move, not whether it harms. Measured:
    docs/results/experiments.md.
    """
    return Experiment(
        title="Do the inputs of layers drift while a network trains?",
        expected=(
            "Without norms the inputs of layers move by more than their own spread while the "
            "network trains; with batch norm they move by less, in each step and in all."
        ),
        arms=[
            Arm(
                name,
                comparing(
                    setting,
                    "cifar_resnet20",
                    spec={"depths": [1, 1, 1], "residual": False, "norm": norm},
                ),
            )
            for name, norm in (("no norm", "none"), ("batch norm", "batch"))
        ],
        measure=_measure,
        findings=_findings,
        watch=_watch,
        claims=(_CLAIM,),
    )


def layer_inputs(model: ImageClassifier, images: Tensor) -> Moments:
    """(N, C, H, W) images -> mean and deviation of each channel of what enters every convolution
    but the first, in training mode. The model and its running averages stay as they are."""
    copied = copy.deepcopy(model).train()
    found: Moments = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        found.append((x.mean((0, 2, 3)).cpu(), x.std((0, 2, 3), correction=0).cpu()))

    for module in [m for m in copied.modules() if isinstance(m, nn.Conv2d)][1:]:
        module.register_forward_pre_hook(look)
    with torch.no_grad():
        copied(images)
    return found


def drift(before: Moments, after: Moments) -> list[float]:
    """How far the inputs of each layer moved, in units of the spread that they had before.

    The 2-Wasserstein distance between normal distributions of those means and deviations, root mean
    square over the channels, over the root mean square of the deviations before: 1 where every
    mean has moved by one deviation.
    """
    moved = []
    for (mean, deviation), (new_mean, new_deviation) in zip(before, after, strict=True):
        distance = (new_mean - mean).square() + (new_deviation - deviation).square()
        spread = deviation.square().mean().sqrt().clamp_min(_LEAST)
        moved.append(float(distance.mean().sqrt() / spread))
    return moved


def growth(before: Moments, after: Moments) -> float:
    """The geometric mean over the layers of their spread after over that before."""
    ratios = [
        new.square().mean().sqrt().clamp_min(_LEAST) / old.square().mean().sqrt().clamp_min(_LEAST)
        for (_, old), (_, new) in zip(before, after, strict=True)
    ]
    return float(torch.stack(ratios).log().mean().exp())


def looked_at(steps: int) -> list[int]:
    """The steps after which single steps are measured from, evenly over the training."""
    count = min(_LOOKS, steps - 1)
    return [1 + round(i * (steps - 2) / max(1, count - 1)) for i in range(count)]


def _watch(cell: Cell, report: StepReport) -> None:
    assert cell.setup is not None
    assert cell.setup.recipe.steps is not None
    log, step = cell.log, report.step
    looks = looked_at(cell.setup.recipe.steps)
    if step - 1 not in looks and step not in looks:
        return
    now = layer_inputs(cell.model, cell.probe_images)
    first = log.setdefault("first", now)
    if step - 1 in looks:
        log.setdefault("steps", []).append(step)
        log.setdefault("in_a_step", []).append(fmean(drift(log["last"], now)))
        log.setdefault("since_start", []).append(fmean(drift(first, now)))
        log["layers"] = drift(first, now)
        log["growth"] = growth(first, now)
    log["last"] = now


def _measure(cell: Cell) -> Values:
    """The drift along the way, and `whole`, None where training ended before its end."""
    log = cell.log
    complete = "diverged" not in log and "steps" in log
    return {
        "train_error": 1 - cell.evaluation("train").top1,
        "steps": log.get("steps", []),
        "in_a_step": log.get("in_a_step", []),
        "since_start": log.get("since_start", []),
        "layers": log.get("layers", []),
        "growth": log.get("growth"),
        "whole": log["since_start"][-1] if complete else None,
        "step": fmean(log["in_a_step"]) if complete else None,
    }


def _findings(results: Results) -> Findings:
    without, normed = results.arms
    broken = [arm for arm in results.arms if None in results.values(arm, "whole")]
    if broken:
        text = f"Training with {' and with '.join(broken)} broke off, so drifts are not compared."
        return Findings(
            (text,), (), {_CLAIM: Judged("not-reproduced", {"broke off": broken}, text)}
        )
    sentences = (
        _told(results, "whole", "From the first step to the last"),
        _told(results, "step", "In a single step"),
        f"That spread itself became {results.spread(without, 'growth').mean:.3g} times as large "
        f"without norms and {results.spread(normed, 'growth').mean:.3g} times with batch norm.",
        f"At the end the training error is {percent(results.spread(without, 'train_error'))} with "
        f"{without} and {percent(results.spread(normed, 'train_error'))} with {normed}.",
        "That less drift is why batch norm helps is disputed (Santurkar et al. 2018); drift alone "
        "does not say that it harms.",
    )
    shown = (
        len(results.setting["seeds"]) >= _SEEDS
        and _compared(results, "whole") > 0
        and results.spread(normed, "whole").mean < _STAYS
    )
    return Findings(
        sentences,
        _charts(results),
        {
            _CLAIM: Judged(
                "demonstrated" if shown else "not-reproduced",
                {
                    f"{arm}, {name} (own spreads)": round(results.spread(arm, key).mean, 4)
                    for arm in results.arms
                    for name, key in (("whole training", "whole"), ("a step", "step"))
                },
                " ".join((sentences[0], *sentences[2:])),
            )
        },
    )


def _compared(results: Results, key: str) -> int:
    """1 where inputs drift farther without norms beyond doubt, -1 where it is with batch norm, 0
    where the intervals overlap."""
    without, normed = (results.spread(arm, key) for arm in results.arms)
    if not without.apart_from(normed):
        return 0
    return 1 if without.mean > normed.mean else -1


def _told(results: Results, key: str, when: str) -> str:
    digits = 2 if key == "whole" else 4
    without, normed = (in_unit(results.spread(arm, key), 1, "", digits) for arm in results.arms)
    judged = {
        1: "Batch norm holds them better.",
        0: "The intervals overlap, so these seeds show no difference.",
        -1: "Batch norm lets them drift farther, which contradicts the story.",
    }[_compared(results, key)]
    text = (
        f"{when} the inputs of a layer move by {without} times their own spread without norms and "
        f"by {normed} times with batch norm. {judged}"
    )
    if key == "whole" and results.spread(results.arms[1], key).mean >= _STAYS:
        text += " But they do not stay put: they move by more than their spread."
    return text


def _charts(results: Results) -> tuple[LineChart, ...]:
    steps = results.values(results.arms[0], "steps")[0]
    layers = [2 + i for i in range(len(results.values(results.arms[0], "layers")[0]))]
    return tuple(
        LineChart(
            title,
            Axis(along),
            Axis("Drift (own spreads)"),
            [band(arm, x, results.values(arm, key)) for arm in results.arms],
            f"{results.caption} Mean over the seeds, and their range.",
        )
        for title, along, x, key in (
            ("Drift since the first step", "Step", steps, "since_start"),
            ("Drift in a single step", "Step", steps, "in_a_step"),
            ("Drift by layer, over the whole training", "Convolution", layers, "layers"),
        )
    )
