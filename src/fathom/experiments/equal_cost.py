"""Where should more arithmetic go? Networks scaled in one way or another at the same cost."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

import torch

from fathom.costs import cost
from fathom.experiments.arms import comparing, small_size
from fathom.experiments.cell import Cell
from fathom.experiments.ending import JUDGES, end_errors, error_chart
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import percent, points, undecided
from fathom.models.registry import build_model

_NETWORK = "cifar_resnet20"
_FACTOR = 4  # the cost of every scaled network over that of the base, in compound_scaling
_FINE = 4  # steps in which a width grows by one channel, for the compound network


def cardinality(setting: Setting) -> Experiment:
    """Depth, width or cardinality at equal cost.

    Source: Xie et al. 2016, arXiv:1611.05431, Tables 3 and 4: at the cost of a ResNet many narrow
    paths are better than one wide path, and where the cost is doubled, doubling the paths is better
    than more layers or more channels.

        fathom experiment cardinality --data DATA

    C x d is a bottleneck whose inner convolution has C groups of d channels in the first stage. The
    base is 1 x 32d with 20 layers; 15 x 4d costs as much; "deeper", with 41 layers, "wider", with
    1 x 52d, and 30 x 4d each cost about twice as much. Costs are multiply-adds, equal within 5 %.

    Departures: networks for small images with two blocks a stage, and the recipe of
    `fathom.experiments.arms.comparing`; the paper's have 101 layers or more and see ImageNet.
    Measured: docs/results/experiments.md.
    """
    few, many = ([1, 1, 1], [2, 2, 2]) if setting.quick else ([2, 2, 2], [5, 4, 4])
    narrow = 1 if setting.quick else 4
    shapes = {
        f"1 x {8 * narrow}d": (few, 1, 8 * narrow),
        f"15 x {narrow}d": (few, 15, narrow),
        "deeper": (many, 1, 8 * narrow),
        "wider": (few, 1, 13 * narrow),
        f"30 x {narrow}d": (few, 30, narrow),
    }
    arms = []
    for name, (depths, groups, width) in shapes.items():
        spec = {
            "block": "bottleneck",
            "shortcut": "projection",
            "depths": depths,
            "widths": [8 * narrow, 16 * narrow, 32 * narrow],
            "groups": groups,
            "group_width": width,
        }
        arms.append(Arm(name, comparing(setting, _NETWORK, spec=spec)))
    return Experiment(
        title="Should a network grow in depth, in width, or in paths?",
        expected=(
            "At the same cost many narrow paths do better than one wide path, and doubling the "
            "paths does better than twice the depth or more width."
        ),
        arms=arms,
        measure=_measure,
        findings=_cardinality_findings,
    )


def compound_scaling(setting: Setting) -> Experiment:
    """Depth, width and resolution, alone and together, at equal cost.

    Source: Tan and Le 2019, arXiv:1905.11946, Section 3 and Table 7: of networks with the same
    multiply-adds, the one that is scaled in all three ways is better than those scaled in one.

        fathom experiment compound-scaling --data DATA

    The base is a residual network of 14 layers that sees images of half their own size, down to a
    multiple of 4 and at least 8 pixels. The others take 4 times its multiply-adds within 5 %: four
    times the blocks but one, twice the channels, twice the side of the image, or all three: 1.5
    times the blocks, 1.25 times the side, even, and as many channels as that leaves.

    Departures: residual networks with basic blocks instead of MBConv, and the recipe of
    `fathom.experiments.arms.comparing`. Images of less than 16 pixels, such as the digits, are
    enlarged for the higher resolutions, which adds cost and no detail. Measured:
    docs/results/experiments.md.
    """
    side = max(8, small_size(setting) // 8 * 4)
    width, depth, deep = (8, 1, [4, 4, 3]) if setting.quick else (16, 2, [8, 8, 7])
    base = _spec(width, [depth] * 3)
    larger, more = 2 * round(0.625 * side), [depth + 1] * 3
    target = _FACTOR * _macs(setting, base, side)
    quarters = bisect_left(  # the least width, in quarters of a channel, that reaches the cost
        range(_FINE * 2 * width),
        target,
        lo=_FINE * width,
        key=lambda q: _macs(setting, _spec(q / _FINE, more), larger),
    )
    networks = {
        "base": (base, side),
        "depth": (_spec(width, deep), side),
        "width": (_spec(2 * width, [depth] * 3), side),
        "resolution": (base, 2 * side),
        "all three": (_spec(quarters / _FINE, more), larger),
    }
    return Experiment(
        title="Should a network be scaled in depth, width, resolution, or all three?",
        expected=(
            "Four times the arithmetic helps in each of the three ways, and most where it is "
            "shared among them."
        ),
        arms=[
            Arm(name, comparing(setting, _NETWORK, spec=spec, image_size=size))
            for name, (spec, size) in networks.items()
        ],
        measure=_measure,
        findings=_compound_findings,
    )


def _spec(width: float, depths: list[int]) -> dict[str, Any]:
    return {"depths": depths, "widths": [round(width), round(2 * width), round(4 * width)]}


def _macs(setting: Setting, spec: dict[str, Any], image_size: int) -> int:
    """Multiply-adds of a network for one image."""
    channels = setting.summary.channels
    with torch.device("meta"):
        model = build_model(
            _NETWORK, num_classes=setting.summary.num_classes, in_channels=channels, **spec
        )
    return cost(model, image_size=image_size, in_channels=channels).macs


def _measure(cell: Cell) -> Values:
    assert cell.arm.recipe is not None
    size = cell.arm.recipe.image_size
    found = cost(cell.model, image_size=size, in_channels=cell.model.in_channels)
    return {**end_errors(cell), "macs": found.macs, "params": found.params, "image_size": size}


def _cardinality_findings(results: Results) -> Findings:
    base, paths, deeper, wider, doubled = results.arms
    sentences = (
        f"At the same cost {_compared(results, paths, base)}",
        f"At {_times(results, doubled)} that cost {_compared(results, doubled, deeper)}",
        f"At {_times(results, doubled)} that cost {_compared(results, doubled, wider)}",
        _verdict(results, doubled, (deeper, wider), "more paths", "arXiv:1611.05431, Table 4"),
    )
    return Findings(sentences, (error_chart(results),))


def _compound_findings(results: Results) -> Findings:
    base, *single, together = results.arms
    told = [
        f"{arm} with {_times(results, arm)} the multiply-adds ends {_points(results, arm, base)}"
        for arm in (*single, together)
    ]
    judge = JUDGES[results.setting["judge"]]
    sizes = {arm: results.values(arm, "image_size")[0] for arm in results.arms}
    sentences = (
        f"The base has a {judge} error of {percent(results.spread(base, 'test_error'))}. Compared "
        f"with it, {'; '.join(told)}.",
        *(f"At equal cost {_compared(results, together, arm)}" for arm in single),
        _verdict(results, together, single, "scaling all three", "arXiv:1905.11946, Section 3"),
        f"Sides of the images: {', '.join(f'{arm} {size}' for arm, size in sizes.items())} pixels.",
    )
    return Findings(sentences, (error_chart(results),))


def _compared(results: Results, one: str, other: str) -> str:
    judge = JUDGES[results.setting["judge"]]
    spreads = [results.spread(arm, "test_error") for arm in (one, other)]
    text = (
        f"{one} has a {judge} error of {percent(spreads[0])}, {other} {percent(spreads[1])}: "
        f"{_points(results, one, other)}."
    )
    if not spreads[0].apart_from(spreads[1]):
        text += f" {undecided(spreads[0])}"
    return text


def _points(results: Results, one: str, other: str) -> str:
    return points(results.difference(one, other, "test_error"))


def _times(results: Results, arm: str) -> str:
    """The multiply-adds of an arm over those of the first."""
    base = results.values(results.arms[0], "macs")[0]
    return f"{results.values(arm, 'macs')[0] / base:.2f} times"


def _verdict(results: Results, favoured: str, others: Sequence[str], what: str, source: str) -> str:
    """Whether the arm that the source favours has a lower error than each of the others."""
    mine = results.spread(favoured, "test_error")
    theirs = {arm: results.spread(arm, "test_error") for arm in others}
    apart = [arm for arm in others if mine.apart_from(theirs[arm])]
    beaten = [arm for arm in apart if mine.mean < theirs[arm].mean]
    better = [arm for arm in apart if arm not in beaten]
    if len(beaten) == len(others):
        return f"So {what} is the best use of the arithmetic here, as in {source}."
    if better:
        return f"This contradicts {source}: {' and '.join(better)} did better than {favoured}."
    return f"The advantage of {what} in {source} is not shown at this scale."
