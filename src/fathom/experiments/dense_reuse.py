"""Which earlier maps do the layers of a dense network use?"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean

from torch import Tensor, nn

from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import in_unit
from fathom.figures.charts import Axis, MapChart, Panel
from fathom.models.base import ImageClassifier
from fathom.models.densenet import DenseBlock, DenseLayer
from fathom.spread import Spread, spread
from fathom.training.reports import StepReport

Weights = list[list[Tensor]]  # [block][reader]
Map = list[list[float]]  # [source][reader]
_ARM = "dense network"


def dense_reuse(setting: Setting) -> Experiment:
    """Which earlier maps the layers of a dense network really use.

    Source: Huang et al. 2016, arXiv:1608.06993, Section 5 and Figure 5: the mean absolute weight by
    which a layer reads each earlier one, in the network of 40 layers on CIFAR-10. All layers spread
    their weights over many inputs, early ones included; what a transition hands on gets the least
    weight in the second and third block; the classifier prefers the last layers of its block.

        fathom experiment dense-reuse --data DATA

    A fresh network has the same mean weight everywhere, and after a short training most of a weight
    is still what it started with, so that an even spread would show nothing. So besides the weights
    as they are there is their learnt part: what is left of a reader's weights after those of the
    start, times the factor that fits best, are taken away. After a long training both are the same.
    Each value is divided by its reader's mean over the sources: 1 is even use, and 3x3, 1x1 and
    linear readers can be compared.

    Departures: 22 layers, six in each block; the division; the findings are those of the learnt
    part. As in the paper, weights are taken without the scale of the norm before them. Measured:
    docs/results/experiments.md.
    """
    depth = 3 if setting.quick else 6
    recipe = comparing(setting, "cifar_densenet40_k12", spec={"depths": [depth] * 3})
    return Experiment(
        title="Which earlier maps do the layers of a dense network use?",
        expected=(
            "Late layers of a block still read its early ones; the maps that a transition hands on "
            "are read least; the classifier prefers the last layers."
        ),
        arms=[Arm(_ARM, recipe)],
        measure=_measure,
        findings=_findings,
        watch=_watch,
    )


def readers(model: ImageClassifier) -> Weights:
    """A dense network -> for each block, copies of the weights that read from it.

    They are those of its layers, then of what follows the block: the transition's convolution, or
    the classifier.
    """
    blocks = [module for module in model.modules() if isinstance(module, DenseBlock)]
    found = []
    for block, after in zip(blocks, _followers(model), strict=True):
        layers = [layer.entry.conv.weight for layer in block if isinstance(layer, DenseLayer)]
        found.append([weight.detach().clone() for weight in (*layers, after)])
    return found


def learnt(start: Tensor, end: Tensor) -> Tensor:
    """Weights at the start and at the end -> the part of the latter that is orthogonal to the
    former."""
    return end - (end * start).sum() / start.square().sum() * start


def reuse(weights: Weights) -> list[Map]:
    """(out, in, ...) weights -> for each block, [source][reader]: how much a reader uses a source.

    Sources are the block's input and its layers. A value is the mean absolute weight between the
    two, over the mean of these means for that reader; 1 is even use, and 0 stands where a source
    comes after the reader.
    """
    found = []
    for block in weights:
        entered = block[0].shape[1]
        growth = (block[-1].shape[1] - entered) // (len(block) - 1)
        columns = [_column(weight, entered, growth) for weight in block]
        rows = range(len(block))
        found.append([[column[i] if i < len(column) else 0.0 for column in columns] for i in rows])
    return found


def _followers(model: ImageClassifier) -> Iterator[Tensor]:
    """The weights that read the whole of each block: of the transitions, and of the classifier."""
    for stage in list(model.stages)[1:]:
        yield next(m.weight for m in stage.modules() if isinstance(m, nn.Conv2d))
    yield model.classifiers()[0].weight


def _column(weight: Tensor, entered: int, growth: int) -> list[float]:
    """(out, in, ...) weights -> for each source that is read the mean absolute one, over the mean
    of these means. The first source has `entered` channels, each further one `growth`."""
    channels = weight.abs().transpose(0, 1).flatten(1).mean(1)  # (in,)
    input_, layers = channels[:entered], channels[entered:].view(-1, growth)
    means = [input_.mean().item(), *layers.mean(1).tolist()]
    return [round(mean / fmean(means), 4) for mean in means]


def _watch(cell: Cell, report: StepReport) -> None:
    if report.step == 1:
        cell.log["start"] = readers(cell.model)


def _measure(cell: Cell) -> Values:
    ends = readers(cell.model)
    parts = [
        [learnt(*pair) for pair in zip(*blocks, strict=True)]
        for blocks in zip(cell.log["start"], ends, strict=True)
    ]
    return {
        "weights": reuse(ends),
        "learnt": reuse(parts),
        "test_error": 1 - cell.evaluation().top1,
    }


def unevenness(maps: list[Map]) -> float:
    """The mean distance of all uses from the even one."""
    return fmean(abs(v - 1) for block in maps for row in block for v in row if v)


def early_by_late(maps: list[Map]) -> float:
    """How much the layers of a block's second half use the layers of its first half."""
    values = []
    for block in maps:
        layers = len(block) - 1
        half = layers // 2
        values += [block[s][r] for s in range(1, half + 1) for r in range(layers - half, layers)]
    return fmean(values)


def of_transitions(maps: list[Map]) -> float:
    """How much the layers of the second block and of later ones use what a transition hands on."""
    return fmean(value for block in maps[1:] for value in block[0][1:-1])


def last_by_classifier(maps: list[Map]) -> float:
    """How much the classifier uses the last third of its block's layers."""
    column = [row[-1] for row in maps[-1]]
    return fmean(column[-max(1, (len(column) - 1) // 3) :])


def _findings(results: Results) -> Findings:
    whole, parts = results.values(_ARM, "weights"), results.values(_ARM, "learnt")
    uneven, uneven_part = (spread([unevenness(m) for m in maps]) for maps in (whole, parts))
    early, handed, last = (
        spread([measure(maps) for maps in parts])
        for measure in (early_by_late, of_transitions, last_by_classifier)
    )
    sentences = (
        f"The weights differ from even use by {in_unit(uneven, 100, '%', 1)} on average, their "
        f"learnt part by {in_unit(uneven_part, 100, '%', 1)}. What follows is of the learnt part.",
        "Layers of the second half of a block read those of its first half with "
        f"{_use(early)}: {_early(early)}",
        f"What a transition hands on is read with {_use(handed)}: "
        + _against(handed, -1, "it gets less weight than the layers do"),
        f"The classifier reads the last third of its block with {_use(last)}: "
        + _against(last, 1, "it prefers late maps"),
    )
    charts = (
        _heat(results, "learnt", "Use of earlier maps, learnt part of the weights"),
        _heat(results, "weights", "Use of earlier maps, weights as they are"),
    )
    return Findings(sentences, charts)


def _use(found: Spread) -> str:
    return f"{in_unit(found, 1, 'times')} the mean weight"


def _early(found: Spread) -> str:
    if found.mean >= 0.5:
        return "early maps stay in direct use, as in the paper."
    return "early maps are hardly read later on, which contradicts the paper."


def _against(found: Spread, sign: int, paper: str) -> str:
    """What the interval says of the paper's finding that a use lies below (-1) or above 1 (+1)."""
    if found.low is None or found.high is None or found.low <= 1 <= found.high:
        return f"no difference from even use is shown. The paper found that {paper}."
    if (found.mean > 1) == (sign > 0):
        return f"{paper}, as in the paper."
    return f"this contradicts the paper, where {paper}."


def _heat(results: Results, key: str, title: str) -> MapChart:
    """One kind of map, as means over the seeds."""
    panels = []
    for index, blocks in enumerate(zip(*results.values(_ARM, key), strict=True)):
        size = range(len(blocks[0]))
        mean = [[fmean(block[row][column] for block in blocks) for column in size] for row in size]
        panels.append(
            Panel(f"Block {index + 1}", [i + 1.0 for i in size], [float(i) for i in size], mean)
        )
    return MapChart(
        title,
        Axis("Reading layer (the last is what follows the block)"),
        Axis("Layer that is read (0 is the block's input)"),
        "Mean absolute weight (1 is even)",
        panels,
        f"{results.caption} Mean over the seeds; 0 where there is no connection.",
    )
