"""What becomes of a picture in 50 layers that nobody has trained? The scale of fresh weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from statistics import geometric_mean

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.experiments.bands import band
from fathom.experiments.cell import Cell
from fathom.experiments.nouns import Arm, Experiment, Findings, Results, Setting, Values
from fathom.figures.charts import Axis, LineChart
from fathom.runtime import generator

_IMAGES, _CHANNELS = 8, 64
_KEPT = 100  # in the mean square, so ten in the scale: what lies within counts as kept

# The deviation of a weight by the inputs and the outputs of its layer.
DEVIATIONS: Mapping[str, Callable[[int, int], float]] = {
    "Kaiming": lambda inputs, outputs: math.sqrt(2 / inputs),
    "Xavier": lambda inputs, outputs: math.sqrt(2 / (inputs + outputs)),
    "too small": lambda inputs, outputs: math.sqrt(2 / inputs) / 2,
    "too large": lambda inputs, outputs: math.sqrt(2 / inputs) * 2,
}


def initialisation(setting: Setting) -> Experiment:
    """The scale of activations and gradients through 50 layers, by the deviation of fresh weights.

    Source: He et al. 2015, arXiv:1502.01852, Section 2.2: with ReLU a variance of 2 / inputs keeps
    the scale, forward and backward; Glorot and Bengio 2010, Section 4.2, find 2 / (inputs +
    outputs) for units that are linear around zero. Too small and too large are half and twice
    Kaiming's deviation.

        fathom experiment initialisation --data DATA

    50 layers of a 3x3 convolution with 64 channels and a ReLU, without norms, shortcuts and
    biases, see 8 training images; nothing is trained. The gradient starts as normal noise behind
    the last layer. Kaiming's mean square is kept on average over weights; that of a single network
    wanders by chance, the more the narrower it is. Departures: maps go on at the other border, so
    that every unit has all its inputs; with zeros around maps of 8 pixels the scale shrinks at the
    borders, too. Everything is computed in float64, whose range is wide enough. Measured:
    docs/results/experiments.md.
    """
    depth = 10 if setting.quick else 50
    return Experiment(
        title=f"What becomes of a picture in {depth} layers that nobody has trained?",
        expected=(
            "Kaiming's weights keep the mean square of activations and gradients; a layer with "
            "Xavier's halves it, one with half of Kaiming's deviation leaves a quarter, one with "
            "twice of it makes it four times as large."
        ),
        arms=[Arm(name, settings={"depth": depth}) for name in DEVIATIONS],
        measure=_measure,
        findings=_findings,
    )


def draw(shape: torch.Size | tuple[int, ...], scheme: str, *names: int | str) -> Tensor:
    """Normal float64 weights (outputs, inputs, K, K) of the deviation that the scheme asks for,
    from a generator seeded by the names."""
    outputs, inputs, *kernel = shape
    area = math.prod(kernel)
    drawn = torch.randn(shape, generator=generator(*names), dtype=torch.float64)
    return drawn * DEVIATIONS[scheme](inputs * area, outputs * area)


def mean_squares(
    images: Tensor, scheme: str, *, depth: int, seed: int
) -> tuple[list[float], list[float]]:
    """(N, C, H, W) float64 images -> mean squares after each layer: of activations over that after
    the first layer, and of gradients over that behind the last."""
    maps: list[Tensor] = []
    x = images.clone().requires_grad_()
    for layer in range(depth):
        weight = draw((_CHANNELS, x.shape[1], 3, 3), scheme, seed, "initialisation", layer)
        x = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), weight).relu()
        maps.append(x)
    noise = torch.randn(x.shape, generator=generator(seed, "gradient"), dtype=torch.float64)
    gradients = torch.autograd.grad(x, maps, noise)
    forward = [m.detach().square().mean() for m in maps]
    backward = [g.square().mean() for g in gradients]
    return (
        [float(value / forward[0]) for value in forward],
        [float(value / backward[-1]) for value in backward],
    )


def _measure(cell: Cell) -> Values:
    images = cell.probe_images[:_IMAGES].cpu().double()
    depth = cell.arm.settings["depth"]
    forward, backward = mean_squares(images, cell.arm.name, depth=depth, seed=cell.seed)
    return {
        "activations": [float(f"{value:.4g}") for value in forward],
        "gradients": [float(f"{value:.4g}") for value in backward],
    }


def _findings(results: Results) -> Findings:
    sentences = [_told(results, arm) for arm in results.arms]
    kept = [arm for arm in results.arms if _keeps(results, arm)]
    if kept == ["Kaiming"]:
        sentences.append(
            f"Only Kaiming's weights keep both within a factor of {_KEPT}, as their paper says."
        )
    else:
        those = " and ".join(kept) or "none"
        sentences.append(
            f"Within a factor of {_KEPT} both stay with {those}; the source leads one to expect "
            "Kaiming alone."
        )
    return Findings(
        tuple(sentences),
        (
            _chart(results, "activations", "Activations on their way up", "first"),
            _chart(results, "gradients", "Gradients on their way down", "last"),
        ),
    )


def _ends(results: Results, arm: str) -> tuple[list[float], list[float]]:
    """By seed: activations after the last layer, and gradients behind the first."""
    forward, backward = (results.values(arm, key) for key in ("activations", "gradients"))
    return [run[-1] for run in forward], [run[0] for run in backward]


def _keeps(results: Results, arm: str) -> bool:
    return all(1 / _KEPT < value < _KEPT for run in _ends(results, arm) for value in run)


def _told(results: Results, arm: str) -> str:
    forward, backward = map(geometric_mean, _ends(results, arm))
    depth = len(results.values(arm, "activations")[0])
    return (
        f"{arm[0].upper()}{arm[1:]}: after {depth} layers the mean square of the activations is "
        f"{forward:.2g} times that after the first, a factor of {forward ** (1 / (depth - 1)):.2f} "
        f"a layer; that of the gradients, on their way back, is {backward:.2g} times."
    )


def _chart(results: Results, key: str, title: str, start: str) -> LineChart:
    series = []
    for arm in results.arms:
        runs = results.values(arm, key)
        series.append(band(arm, list(range(1, len(runs[0]) + 1)), runs, log=True))
    return LineChart(
        title,
        Axis("Layer"),
        Axis(f"Mean square (that of the {start} layer = 1)", "log"),
        series,
        f"{results.caption} Geometric mean over the seeds, and their range.",
    )
