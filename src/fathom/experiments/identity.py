"""Could the deeper network have done it? 56 layers made by hand from 20 trained ones."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from fathom.evaluate import evaluate
from fathom.experiments.arms import comparing
from fathom.experiments.bands import point
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import percent, points, undecided
from fathom.figures.charts import Axis, PointChart
from fathom.ledger.depth import imitate
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model

_SAME = 1e-9  # of the largest logit: far above what float64 rounds, far below what anybody sees


def identity(setting: Setting) -> Experiment:
    """56 plain layers can compute what 20 trained ones do; trained themselves they may not find it.

    Source: He et al. 2015, arXiv:1512.03385, Section 1: the layers that are added may be identity
    maps, so a deeper network has a solution that is no worse than the shallower one's; the paper's
    experiments show that solvers do not find one as good.

        fathom experiment identity --data DATA --minutes 10

    One arm trains 20 layers; `fathom.ledger.depth.imitate` then builds 56 from them. The other arm
    trains 56 from fresh weights, for as many steps. Differences of logits are measured in float64
    on 128 training images; errors on all of them, in evaluation mode. Measured:
    docs/results/experiments.md.
    """
    shallow, deep = (8, 14) if setting.quick else (20, 56)
    return Experiment(
        title="Could the deeper network have done it?",
        expected=(
            f"The network of {deep} layers that is built from the trained one of {shallow} gives "
            f"its outputs; the one of {deep} that is trained ends with a higher training error."
        ),
        arms=[
            Arm(
                f"plain {depth}",
                comparing(setting, "cifar_resnet20", spec=_spec(depth)),
                {"depth": depth, "built": deep if depth == shallow else None},
            )
            for depth in (shallow, deep)
        ],
        measure=_measure,
        findings=_findings,
    )


def _spec(depth: int) -> dict[str, Any]:
    return {"depths": [(depth - 2) // 6] * 3, "residual": False}


def built_from(shallow: ImageClassifier, depth: int) -> ImageClassifier:
    """A plain network of so many layers that computes what a shallower one does in evaluation mode,
    in float64 on the CPU."""
    deep = build_model(
        "cifar_resnet20",
        num_classes=shallow.num_classes,
        in_channels=shallow.in_channels,
        **_spec(depth),
    ).double()
    imitate(deep, copy.deepcopy(shallow).cpu().double())
    return deep.eval()


def largest_difference(ones: Tensor, others: Tensor) -> float:
    """(N, K) logits twice -> their largest difference as a share of the largest logit of ones."""
    return float((ones - others).abs().max() / ones.abs().max())


def _measure(cell: Cell) -> Values:
    values: Values = {"depth": cell.arm.settings["depth"], **_errors(cell, cell.model, "")}
    depth = cell.arm.settings["built"]
    if depth is not None:
        deep = built_from(cell.model, depth)
        images = cell.probe_images.cpu().double()
        with torch.no_grad():
            own = copy.deepcopy(cell.model).cpu().double().eval()(images)
            difference = largest_difference(own, deep(images))
        deep = deep.float().to(cell.runtime.device)
        values |= {"difference": difference, "built": depth, **_errors(cell, deep, "built_")}
    return values


def _errors(cell: Cell, model: ImageClassifier, prefix: str) -> Values:
    found = {}
    for name, split in (("train", "train"), ("test", cell.judge)):
        found[f"{prefix}{name}_error"] = 1 - (
            evaluate(
                model,
                cell.batches(split),
                cell.runtime,
                split=split,
                class_names=cell.dataset.class_names,
            ).top1
        )
    return found


def _findings(results: Results) -> Findings:
    shallow, deep = results.arms
    return Findings(
        (_built(results, shallow), _trained(results, shallow, deep)), (_chart(results),)
    )


def _built(results: Results, shallow: str) -> str:
    difference = max(results.values(shallow, "difference"))
    layers, built = (results.values(shallow, key)[0] for key in ("depth", "built"))
    same = difference < _SAME
    own, copied = (results.spread(shallow, f"{key}_error") for key in ("train", "built_train"))
    return (
        f"{built} layers built from the {layers} trained ones give "
        f"{'the same' if same else 'other'} outputs: the largest difference is {difference:.1g} of "
        f"the largest logit. Their training error is {percent(copied)}, "
        f"that of the {layers} layers {percent(own)}."
        + ("" if same else " The construction failed, which contradicts the source.")
    )


def _trained(results: Results, shallow: str, deep: str) -> str:
    own, found = (results.spread(arm, "train_error") for arm in (shallow, deep))
    difference = points(results.difference(deep, shallow, "train_error"))
    text = (
        f"Trained from fresh weights for as many steps, {deep} ends with a training error of "
        f"{percent(found)}, {difference} against {shallow}."
    )
    if not own.apart_from(found):
        return f"{text} {undecided(own)}"
    if found.mean > own.mean:
        return f"{text} The better weights exist, as the construction shows; training missed them."
    return f"{text} Here training did better than the construction, unlike in the source."


def _chart(results: Results) -> PointChart:
    shallow, deep = results.arms
    layers, built = (results.values(shallow, key)[0] for key in ("depth", "built"))
    judge = {"test": "test", "val": "validation"}[results.setting["judge"]]
    rows = ((shallow, ""), (shallow, "built_"), (deep, ""))
    return PointChart(
        "Errors of what was trained and of what was built",
        (f"{layers} layers, trained", f"{built} built from them", f"{built} layers, trained"),
        Axis("Error (%)"),
        {
            name: [point(results.spread(arm, f"{prefix}{key}_error"), 100) for arm, prefix in rows]
            for name, key in (("training", "train"), (judge, "test"))
        },
        f"{results.caption} Mean and 95 % interval.",
    )
