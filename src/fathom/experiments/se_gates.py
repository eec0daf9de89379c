"""Do the gates of squeeze and excitation tell classes apart, and where?"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from fathom.data.batches import Batch
from fathom.evaluate import run_model
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import in_unit
from fathom.figures.charts import Axis, LineChart, MapChart, Panel, Series
from fathom.layers import SqueezeExcitation
from fathom.models.base import ImageClassifier
from fathom.runtime import Runtime
from fathom.spread import spread

_ARM = "gated network"
_SHOWN = 10  # classes in the maps, at most


def se_gates(setting: Setting) -> Experiment:
    """Channel gates by class and depth.

    Source: Hu et al. 2017, arXiv:1709.01507 (version 4), Section 7.2 and Figure 6: the mean gates
    of early blocks are alike for all classes, those of later blocks become specific to the class,
    and in the last two blocks of SE-ResNet-50 they are alike again.

        fathom experiment se-gates --data DATA

    The class-specificity of a block is the spread of its mean gates between classes over their
    spread between channels: standard deviations, of which the first is a root mean square over the
    channels. 0 means that every class opens the same channels.

    Departures: a network of 20 layers with gates in each of its nine blocks; the paper looks at
    pictures of gates and gives no number. Measured: docs/results/experiments.md.
    """
    spec = {"depths": [1, 1, 1]} if setting.quick else {}
    return Experiment(
        title="Where do channel gates tell classes apart?",
        expected=(
            "Gates of the first stage are alike for all classes; those of the last stage differ "
            "from class to class."
        ),
        arms=[Arm(_ARM, comparing(setting, "cifar_se_resnet20", spec=spec))],
        measure=_measure,
        findings=_findings,
    )


def mean_gates(model: ImageClassifier, batches: Iterable[Batch], runtime: Runtime) -> list[Tensor]:
    """Images of K classes -> for every block with a gate, in order, the (K, C) mean gates.

    Classes without an image are left out.
    """
    caught: dict[int, list[Tensor]] = {}

    def catch(place: int) -> Any:
        def hook(_: object, __: object, gates: Tensor) -> None:
            caught.setdefault(place, []).append(gates.flatten(1).double().cpu())

        return hook

    modules = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    hooks = [m.gate.register_forward_hook(catch(i)) for i, m in enumerate(modules)]
    try:
        _, targets, _ = run_model(model, batches, runtime)
    finally:
        for handle in hooks:
            handle.remove()
    classes = sorted(set(targets.tolist()))
    return [
        torch.stack([torch.cat(caught[place])[targets == k].mean(0) for k in classes])
        for place in range(len(modules))
    ]


def specificity(gates: Tensor) -> float:
    """(K, C) mean gates -> their spread between classes over their spread between channels."""
    between_classes = gates.var(0, correction=0).mean().sqrt()
    between_channels = gates.mean(0).std(correction=0)
    return (between_classes / between_channels).item()


def _measure(cell: Cell) -> Values:
    found = mean_gates(cell.model, cell.batches(), cell.runtime)
    stages = [
        index
        for index, stage in enumerate(cell.model.stages)
        for module in stage.modules()
        if isinstance(module, SqueezeExcitation)
    ]
    shown = (0, len(found) - 1)
    return {
        "specificity": [round(specificity(gates), 4) for gates in found],
        "stages": stages,
        "gates": {
            str(place + 1): [[round(v, 3) for v in row] for row in found[place][:_SHOWN].tolist()]
            for place in shown
        },
        "test_error": 1 - cell.evaluation().top1,
    }


def _findings(results: Results) -> Findings:
    stages = results.values(_ARM, "stages")[0]
    by_seed = results.values(_ARM, "specificity")
    early, late = (
        spread(
            [fmean(v for v, s in zip(row, stages, strict=True) if s == stage) for row in by_seed]
        )
        for stage in (stages[0], stages[-1])
    )
    blocks = [spread(column) for column in zip(*by_seed, strict=True)]
    most = max(blocks, key=lambda block: block.mean)
    told = (
        "Between classes the mean gates differ by "
        f"{in_unit(early, 1, 'times')} their spread between channels in the first stage and by "
        f"{in_unit(late, 1, 'times')} in the last."
    )
    if not late.apart_from(early):
        verdict = "The intervals overlap, so gates that become specific with depth are not shown."
    elif late.mean > early.mean:
        verdict = "Gates become specific to the class with depth, as in the paper."
    else:
        verdict = "Gates become less specific to the class with depth, which contradicts the paper."
    peak = (
        f"Block {blocks.index(most) + 1} of {len(blocks)} has the largest ratio, "
        f"{in_unit(most, 1, '')}, and the last {in_unit(blocks[-1], 1, '')}."
    )
    if most.apart_from(blocks[-1]):
        peak += " The paper, too, found the end of its network less specific again."
    return Findings((told, verdict, peak), (_curve(results), _maps(results)))


def _curve(results: Results) -> LineChart:
    found = [spread(column) for column in zip(*results.values(_ARM, "specificity"), strict=True)]
    known = found[0].low is not None
    series = Series(
        "mean gates",
        [float(i + 1) for i in range(len(found))],
        [s.mean for s in found],
        [s.low for s in found if s.low is not None] if known else None,
        [s.high for s in found if s.high is not None] if known else None,
    )
    return LineChart(
        "Class-specificity of the gates by depth",
        Axis("Block"),
        Axis("Spread between classes / between channels"),
        [series],
        f"{results.caption} Mean and 95 % interval.",
        marked=True,
    )


def _maps(results: Results) -> MapChart:
    gates = results.values(_ARM, "gates")[0]
    return MapChart(
        "Mean gates by class",
        Axis("Channel"),
        Axis("Class"),
        "Mean gate (0 to 1)",
        [
            Panel(
                f"Block {block}",
                [float(i + 1) for i in range(len(rows[0]))],
                [float(i) for i in range(len(rows))],
                rows,
            )
            for block, rows in gates.items()
        ],
        f"{results.caption} The first of the seeds; where rows are alike, so are the classes.",
    )
