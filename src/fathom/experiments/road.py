"""From ResNet-50 to ConvNeXt in twelve steps: what does each bring, and what does it cost?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from fathom.costs import cost
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import percent, points
from fathom.figures.charts import Axis, Point, PointChart
from fathom.models.variants.road import VARIANTS
from fathom.training.choices import AdamW

_SIDE, _QUICK_SIDE = 64, 32  # pixels; of 64, sixteen after the stem and two in the last stage
_NARROWER, _SHALLOWER = 4, 3


def road(setting: Setting) -> Experiment:
    """The thirteen networks between ResNet-50 and ConvNeXt-T, accuracy beside multiply-adds.

    Source: Liu et al. 2022, arXiv:2201.03545, Figure 2 and Table 10: on ImageNet the road leads
    from 78.8 % to 82.0 %; only depthwise convolutions, before the channels grow, and moving them to
    the front of the block lower the accuracy, and both save operations.

        fathom experiment road --data DATA --minutes 20

    Departures: all widths are a quarter, and a stage has a third of its blocks, so that 3, 4, 6 and
    3 become 1, 1, 2 and 1; images are 64 pixels, smaller ones enlarged; neither stochastic depth
    nor layer scale, which regularise deep networks in long runs. One recipe for all: AdamW, weight
    decay 0.05, one cycle to a rate of 0.001 at batches of 128, and no augmentation but the mirror.
    The paper trains 300 epochs with strong augmentation. Measured: docs/results/experiments.md.
    """
    return Experiment(
        title="From ResNet-50 to ConvNeXt: what does each step bring?",
        expected=(
            "The end is better than the start at about the same cost. Wider channels bring most, "
            "depthwise convolutions save most; single steps are too small for few seeds to tell."
        ),
        arms=list(_arms(setting)),
        measure=_measure,
        findings=_findings,
    )


def _arms(setting: Setting) -> Iterator[Arm]:
    chosen = (0, 7, 12) if setting.quick else range(len(VARIANTS))
    side = _QUICK_SIDE if setting.quick else _SIDE
    for number in chosen:
        card = VARIANTS[number].card
        plain = comparing(setting, card.name, spec=smaller(VARIANTS[number].spec), image_size=side)
        lr = 1e-3 * (plain.batch_size / 128) ** 0.5
        step = card.name.removeprefix(f"road_{number:02}_").replace("_", " ")
        top1 = next(figure.top1 for figure in card.published if figure.top1 is not None)
        yield Arm(
            f"{number} {step}",
            replace(plain, optimizer=AdamW(lr=lr, weight_decay=0.05)),
            {"paper_top1": top1},
        )


def smaller(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The same step of a road of a quarter of the widths and a third of the blocks."""
    return {
        "widths": [width // _NARROWER for width in spec["widths"]],
        "depths": [depth // _SHALLOWER for depth in spec["depths"]],
        "stochastic_depth": 0.0,
        "layer_scale": None,
    }


def _measure(cell: Cell) -> Values:
    found = cost(cell.model, image_size=cell.dataset.preprocess.image_size)
    return {
        "top1": cell.evaluation().top1,
        "train_top1": cell.evaluation("train").top1,
        "macs": found.macs,
        "params": found.params,
        "paper_top1": cell.arm.settings["paper_top1"],
    }


def _findings(results: Results) -> Findings:
    first, last = results.arms[0], results.arms[-1]
    ends = results.difference(last, first, "top1")
    sentences = [
        f"The start, {first}, names {percent(results.spread(first, 'top1'))} right with "
        f"{_macs(results, first):.3g} million multiply-adds an image; the end, {last}, "
        f"{percent(results.spread(last, 'top1'))} with {_macs(results, last):.3g} million: "
        f"{points(ends)}. On ImageNet the paper has {_paper(results, first, last):+.1f} points."
    ]
    if not results.spread(last, "top1").apart_from(results.spread(first, "top1")):
        sentences.append("The intervals overlap, so these seeds show no difference of the ends.")
    elif ends.mean < 0:
        sentences.append("That contradicts the paper, at this scale and in so short a run.")
    sentences.append(_steps_told(results))
    return Findings(tuple(sentences), (_accuracy(results), _costs(results)))


def _steps_told(results: Results) -> str:
    """Which single steps the seeds tell from none, and whether the paper agrees."""
    told = []
    for before, after in zip(results.arms, results.arms[1:], strict=False):
        if results.spread(after, "top1").apart_from(results.spread(before, "top1")):
            change = points(results.difference(after, before, "top1"))
            paper = _paper(results, before, after)
            told.append(f"{after} {change} (in the paper {paper:+.1f})")
    if not told:
        return "No single step is told from none by these seeds."
    return f"Steps that are told from none: {'; '.join(told)}."


def _macs(results: Results, arm: str) -> float:
    """Multiply-adds of one image, in millions."""
    return results.spread(arm, "macs").mean / 1e6


def _paper(results: Results, before: str, after: str) -> float:
    """The paper's change between two networks, in points."""
    one, other = (results.values(arm, "paper_top1")[0] for arm in (before, after))
    return 100 * float(other - one)


def _accuracy(results: Results) -> PointChart:
    found = [results.spread(arm, "top1") for arm in results.arms]
    return PointChart(
        "Accuracy along the road",
        results.arms,
        Axis("Top-1 accuracy (%)"),
        {
            "top-1": [
                Point(100 * s.mean, s.low and 100 * s.low, s.high and 100 * s.high) for s in found
            ]
        },
        f"{results.caption} Mean and 95 % interval over the seeds.",
    )


def _costs(results: Results) -> PointChart:
    return PointChart(
        "Cost along the road",
        results.arms,
        Axis("Multiply-adds an image (millions)"),
        {"multiply-adds": [Point(_macs(results, arm)) for arm in results.arms]},
        f"Images of {results.setting['image_size']} pixels. Counted, so without an interval.",
    )
