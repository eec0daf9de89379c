"""What does the loss look like around a trained network? Two random directions, and contours."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from statistics import fmean, geometric_mean

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.data.batches import Batch
from fathom.evaluate import run_model
from fathom.experiments.arms import comparing
from fathom.experiments.bands import point
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.experiments.words import in_unit, percent
from fathom.figures.charts import Axis, MapChart, Panel, PointChart
from fathom.runtime import Runtime, generator

_IMAGES = 200
_RING = 0.5  # the radius at which the slope is told
_LARGEST = 1e6  # nats: what is more, or no number, counts as this


def landscape(setting: Setting) -> Experiment:
    """The training loss on a plane of two random directions through a trained network.

    Source: Li et al. 2018, arXiv:1712.09913, whose filter normalisation this is, and
    Figure 5: around deep networks without shortcuts the loss is chaotic and steep; with shortcuts
    it is smooth and wide.

        fathom experiment landscape --data DATA --minutes 10

    A plain and a residual network of 56 layers, trained alike. Each direction is normal noise whose
    every filter is as long as the network's own; biases, norms and their running averages stay, as
    in the paper's code, and batch norm is in evaluation mode. The loss is that on 200 training
    images at 15 x 15 points of [-1, 1] squared. The basin is the share of points where it is below
    the loss of guessing, log of the classes. Measuring comes on top of the minutes. Measured:
    docs/results/experiments.md.
    """
    depth, side = (8, 3) if setting.quick else (56, 15)
    return Experiment(
        title="What does the loss look like around a trained network?",
        expected=(
            "Around the residual network the loss stays below that of guessing on a larger share "
            "of the plane than around the plain one, and rises less on the way."
        ),
        arms=[
            Arm(
                f"{kind} {depth}",
                comparing(
                    setting,
                    "cifar_resnet20",
                    spec={"depths": [(depth - 2) // 6] * 3, "residual": kind == "residual"},
                ),
                {"side": side},
            )
            for kind in ("plain", "residual")
        ],
        measure=_measure,
        findings=_findings,
    )


def direction(model: nn.Module, *names: int | str) -> list[Tensor]:
    """Normal noise for every parameter, each filter scaled to the length of the network's own; zero
    for biases and norms.

    Source: Li et al. 2018, arXiv:1712.09913, Section 4. A filter is all weights of one output, of a
    convolution or of a linear layer.
    """
    source = generator(*names)
    found = []
    for parameter in model.parameters():
        own = parameter.detach()
        noise = torch.randn(own.shape, generator=source).to(own.device)
        if own.ndim > 1:
            axes = tuple(range(1, own.ndim))
            length = own.square().sum(axes, keepdim=True).sqrt()
            found.append(noise * length / noise.square().sum(axes, keepdim=True).sqrt())
        else:
            found.append(torch.zeros_like(own))
    return found


def surface(
    model: nn.Module,
    along: tuple[Sequence[Tensor], Sequence[Tensor]],
    places: Sequence[float],
    batches: Sequence[Batch],
    runtime: Runtime,
) -> list[list[float]]:
    """The mean cross entropy (nats) on batches at weights + x * one + y * other: rows by y, columns
    by x. The model stays as it is."""
    moved = copy.deepcopy(model)
    parameters = list(moved.parameters())
    starts = [parameter.detach().clone() for parameter in parameters]
    rows = []
    for y in places:
        row = []
        for x in places:
            with torch.no_grad():
                for parameter, start, one, other in zip(parameters, starts, *along, strict=True):
                    parameter.copy_(start + x * one + y * other)
            logits, targets, _ = run_model(moved, batches, runtime)
            loss = F.cross_entropy(logits.double(), targets).item()
            row.append(min(loss, _LARGEST) if math.isfinite(loss) else _LARGEST)
        rows.append(row)
    return rows


def basin(losses: Sequence[Sequence[float]], guessing: float) -> float:
    """The share of the points of a map where the loss is below that of guessing."""
    return fmean(loss < guessing for row in losses for loss in row)


def ring(losses: Sequence[Sequence[float]], places: Sequence[float], radius: float) -> float:
    """The geometric mean of the loss at the points nearest to a circle around the middle: those
    within half of the grid's spacing."""
    half = (places[1] - places[0]) / 2
    return geometric_mean(
        max(loss, 1 / _LARGEST)
        for y, row in zip(places, losses, strict=True)
        for x, loss in zip(places, row, strict=True)
        if abs(math.hypot(x, y) - radius) <= half + 1e-9
    )


def _measure(cell: Cell) -> Values:
    model, side = cell.model, cell.arm.settings["side"]
    places = [round(2 * i / (side - 1) - 1, 6) for i in range(side)]
    batches = list(cell.batches("train", images=_IMAGES))
    along = tuple(direction(model, cell.seed, "landscape", axis) for axis in ("x", "y"))
    losses = surface(model, along, places, batches, cell.runtime)  # type: ignore[arg-type]
    guessing = math.log(model.num_classes)
    return {
        "places": places,
        "losses": [[float(f"{loss:.3g}") for loss in row] for row in losses],
        "guessing": guessing,
        "middle": losses[side // 2][side // 2],
        "basin": basin(losses, guessing),
        "ring": ring(losses, places, _RING),
        "train_error": 1 - cell.evaluation("train").top1,
    }


def _findings(results: Results) -> Findings:
    sentences = (*(_told(results, arm) for arm in results.arms), _compared(results))
    return Findings(sentences, (_maps(results), _basins(results)))


def _told(results: Results, arm: str) -> str:
    text = (
        f"Around {arm} (training error {percent(results.spread(arm, 'train_error'))}) the loss is "
        f"below that of guessing on {percent(results.spread(arm, 'basin'))} of the plane; it is "
        f"{in_unit(results.spread(arm, 'middle'), 1, 'nats', 3)} in the middle and about "
        f"{results.spread(arm, 'ring').mean:.3g} nats at a distance of {_RING}."
    )
    if results.spread(arm, "middle").mean >= results.values(arm, "guessing")[0]:
        text += " The network only guesses, so its map says little."
    return text


def _compared(results: Results) -> str:
    plain, residual = (results.spread(arm, "basin") for arm in results.arms)
    if not plain.apart_from(residual):
        return "The intervals of the two basins overlap, so these seeds show no difference."
    if residual.mean > plain.mean:
        return "The basin of the residual network is the wider one, as Li et al. 2018 found."
    return "The basin of the plain network is the wider one, which contradicts Li et al. 2018."


def _maps(results: Results) -> MapChart:
    seed = min(results.cells[results.arms[0]])
    panels = [
        Panel(arm, values["places"], values["places"], values["losses"])
        for arm in results.arms
        for values in (results.cells[arm][seed],)
    ]
    return MapChart(
        "Training loss around the trained networks",
        Axis("One direction (lengths of the weights)"),
        Axis("The other (lengths of the weights)"),
        "Loss (nats)",
        panels,
        f"{results.caption} Maps of seed {seed}; the trained network is in the middle.",
        contours=True,
        log_values=True,
    )


def _basins(results: Results) -> PointChart:
    return PointChart(
        "Share of the plane with a loss below that of guessing",
        results.arms,
        Axis("Share (%)"),
        {"basin": [point(results.spread(arm, "basin"), 100) for arm in results.arms]},
        f"{results.caption} Mean and 95 % interval.",
    )
