"""What becomes of a good network that is evaluated in training mode?"""

from __future__ import annotations

import copy
from statistics import fmean

import torch
from torch import Tensor

from fathom.evaluate import autocast
from fathom.experiments.arms import comparing
from fathom.experiments.bands import band
from fathom.experiments.cell import Cell
from fathom.experiments.ending import JUDGES
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import percent, points
from fathom.figures.charts import Axis, LineChart
from fathom.models.base import ImageClassifier
from fathom.runtime import Runtime, generator
from fathom.spread import paired, spread

_ARM = "residual"
_IMAGES, _QUICK_IMAGES = 512, 64  # at most; batches of one take their time
_SERIES = {
    "proper": "evaluation mode",
    "shuffled": "training mode, shuffled",
    "sorted": "training mode, by class",
    "after": "evaluation mode afterwards",
}


def bn_eval_bug(setting: Setting) -> Experiment:
    """A trained network in training mode by mistake: accuracy by batch, in two orders of images.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.1: in inference the output should
    depend on the picture alone, so the statistics of training are used, not those of the batch.
    What happens otherwise depends on the batch.

        fathom experiment bn-eval-bug --data DATA

    One network a seed is trained properly. It then judges the same images, at most 512 and as many
    of every class, in evaluation mode and in training mode, in batches of 1 to 128, shuffled and
    sorted by class. Training mode also moves the running statistics: "evaluation mode afterwards"
    is the network that went through the images by class in training mode, once more as one should.

    Departure: the paper does not show the mistake; this is its measurement. A last batch that is
    not full is left out, so that all sizes judge the same images. Measured:
    docs/results/experiments.md.
    """
    blocks = 1 if setting.quick else 3
    recipe = comparing(setting, "cifar_resnet20", spec={"depths": [blocks] * 3})
    sizes = [1, 16] if setting.quick else [2**power for power in range(8)]
    images = _QUICK_IMAGES if setting.quick else _IMAGES
    return Experiment(
        title="What becomes of a good network that is evaluated in training mode?",
        expected=(
            "Shuffled images in large batches lose little, single images much. By class a batch "
            "holds one class, whose mark the norm takes away, and most is lost at every size. "
            "Afterwards the network is damaged even in evaluation mode."
        ),
        arms=[Arm(_ARM, recipe, {"sizes": sizes, "images": images})],
        measure=_measure,
        findings=_findings,
    )


def _measure(cell: Cell) -> Values:
    batches = list(cell.batches(images=cell.arm.settings["images"]))
    images = torch.cat([batch.images for batch in batches])
    targets = torch.cat([batch.targets for batch in batches])
    sizes = [size for size in cell.arm.settings["sizes"] if size <= len(images)]
    whole = len(images) // sizes[-1] * sizes[-1]
    images, targets = images[:whole], targets[:whole]
    shuffled = torch.randperm(whole, generator=generator(cell.seed, "judging order"))
    sorted_ = targets.cpu().argsort(stable=True)

    def share(model: ImageClassifier, order: Tensor, size: int) -> float:
        return accuracy(model, images[order], targets[order], size, cell.runtime)

    values: Values = {"sizes": sizes, "images": whole, "shuffled": [], "sorted": [], "after": []}
    values["proper"] = share(cell.model.eval(), shuffled, sizes[-1])
    for size in sizes:
        values["shuffled"].append(share(copy.deepcopy(cell.model).train(), shuffled, size))
        moved = copy.deepcopy(cell.model).train()
        values["sorted"].append(share(moved, sorted_, size))
        values["after"].append(share(moved.eval(), shuffled, sizes[-1]))
    return values


@torch.no_grad()
def accuracy(
    model: ImageClassifier, images: Tensor, targets: Tensor, batch_size: int, runtime: Runtime
) -> float:
    """(N, C, H, W) images, (N,) targets -> the share named right, in the mode the model is in.

    In training mode batch norms use each batch's statistics and move their running ones.
    """
    right = 0
    batches = (torch.split(whole, batch_size) for whole in (images, targets))
    for some, wanted in zip(*batches, strict=True):
        with autocast(runtime):
            right += int((model(some).argmax(1) == wanted).sum())
    return right / len(targets)


def _findings(results: Results) -> Findings:
    sizes = results.values(_ARM, "sizes")[0]
    proper = [float(value) for value in results.values(_ARM, "proper")]

    def told(name: str, place: int, what: str) -> str:
        """Accuracy at one batch size, and what it is less than in evaluation mode."""
        found = [float(values[place]) for values in results.values(_ARM, name)]
        less = paired(found, proper)
        text = f"{what}: {percent(spread(found))}, {points(less)}."
        if less.low is None or less.high is None or less.low <= 0 <= less.high:
            return f"{text} By these seeds no loss is shown."
        return text if less.high < 0 else f"{text} Here it is no loss but a gain."

    def worst(name: str) -> int:
        """Where the mean over the seeds is the lowest."""
        means = [fmean(column) for column in zip(*results.values(_ARM, name), strict=True)]
        return means.index(min(means))

    by_class, after, largest = worst("sorted"), worst("after"), len(sizes) - 1
    sentences = (
        f"In evaluation mode the network names {percent(spread(proper))} of the "
        f"{JUDGES[results.setting['judge']]} images right, whatever lies beside them.",
        told("shuffled", 0, f"Training mode, batches of {sizes[0]}"),
        told("shuffled", largest, f"Training mode, shuffled batches of {sizes[largest]}"),
        told(
            "sorted",
            by_class,
            f"Training mode, images sorted by class, worst in batches of {sizes[by_class]}",
        ),
        told(
            "after",
            after,
            "Evaluation mode after sorted images have moved the running statistics, worst after "
            f"batches of {sizes[after]}",
        ),
    )
    return Findings(sentences, (_chart(results, sizes),))


def _chart(results: Results, sizes: list[int]) -> LineChart:
    runs = {name: results.values(_ARM, name) for name in ("shuffled", "sorted", "after")}
    runs["proper"] = [[value] * len(sizes) for value in results.values(_ARM, "proper")]
    return LineChart(
        "Accuracy of one network, evaluated rightly and wrongly",
        Axis("Images in a batch", "log"),
        Axis(f"{JUDGES[results.setting['judge']].capitalize()} accuracy (%)"),
        [
            band(label, sizes, [[100 * value for value in run] for run in runs[name]])
            for name, label in _SERIES.items()
        ],
        f"{results.caption} Judged on {results.values(_ARM, 'images')[0]:,} images. Mean over the "
        "seeds, and their range.",
        marked=True,
    )
