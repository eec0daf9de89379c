"""Batch norm: what it makes of real activations, in training and in evaluation."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from dash import html
from torch import Tensor, nn

from fathom import norm_lab
from fathom.explorer.controls import choice, slider
from fathom.explorer.page import Card, Page
from fathom.explorer.pages.norms import BATCHES, draw_blocks, draw_noise
from fathom.explorer.shell import facts, graph, link, table
from fathom.figures import batch_norm as figures
from fathom.figures.charts import Axis, LineChart, Series
from fathom.ledger.normalisation import batch_norm

PATH = "batch-norm"
LAYERS = {
    "stem.1": "the stem",
    "stages.0.0.branch.1": "stage 1, first block",
    "stages.0.2.branch.1": "stage 1, last block",
    "stages.1.1.branch.1": "stage 2, middle block",
    "stages.2.2.branch.1": "stage 3, last block",
}
GROUPS = ("1", "2", "4", "8", "16")
EXAMPLE = (2.0, 4.0, 6.0, 8.0)
_CHANNELS = 16  # of the narrowest layer
_STEPS = 60
_RANGE = 8.0  # of outputs, so that a histogram that moves is seen to move


def page() -> Page:
    """The page of batch norm."""
    return Page(
        path=PATH,
        title="Batch norm",
        lead="What normalisation does to the activations of a real network. Move gamma, beta, "
        "epsilon and the batch size, and see why training and evaluation differ, and why small "
        "batches hurt.",
        controls=(
            choice("layer", "Layer", LAYERS, "stages.1.1.branch.1"),
            slider("channel", "Channel", [(c, str(c)) for c in (0, 5, 10, _CHANNELS - 1)], 7),
            slider("batch", "Batch size", [(p, str(b)) for p, b in enumerate(BATCHES)], 5),
            choice("mode", "Mode", {"train": "training", "eval": "evaluation"}, "train"),
            slider("gamma", "Gamma", [(-3, "-3"), (0, "0"), (1, "1"), (3, "3")], 2, step=0.1),
            slider("beta", "Beta", [(-3, "-3"), (0, "0"), (1, "1"), (3, "3")], 1, step=0.1),
            slider(
                "eps",
                "Epsilon, a power of ten",
                [(-8, "1e-8"), (-5, "1e-5"), (-2, "0.01"), (1, "10")],
                -5,
                step=0.5,
            ),
            slider(
                "momentum", "Momentum", [(0.01, "0.01"), (0.5, "0.5"), (1, "1")], 0.1, step=0.01
            ),
            slider(
                "steps",
                "Steps before evaluation",
                [(s, str(s)) for s in range(0, _STEPS + 1, 20)],
                10,
            ),
            choice("groups", "Groups of group norm", {g: g for g in GROUPS}, "8"),
        ),
        cards=_cards(),
    )


def _cards() -> tuple[Card, ...]:
    shaped = ("gamma", "beta", "eps")
    return (
        Card(
            "activations",
            "One channel, before and after",
            draw_activations,
            ("layer", "channel", "batch", "mode", *shaped, "momentum", "steps"),
            f"CIFAR ResNet-20 as a run with seed 0 starts, on digits of {norm_lab.SIDE}x"
            f"{norm_lab.SIDE} pixels; the layers before see all {norm_lab.DIGITS} digits at once, "
            "so that only this norm feels the batch size. Deviations divide by the number of "
            "values. Ioffe and Szegedy 2015, arXiv:1502.03167, Algorithm 1.",
        ),
        Card("example", "Four numbers, step by step", draw_example, shaped),
        Card(
            "running",
            "Running statistics catch up",
            draw_running,
            ("layer", "channel", "batch", "momentum", "steps"),
            "The weights stay as they are; only batches go by, each digit once an epoch. Variances "
            "divide by one less than the number of values, as PyTorch's running variance does. "
            "Ioffe and Szegedy 2015, arXiv:1502.03167, Section 3.1.",
        ),
        Card(
            "blocks",
            "What is averaged together",
            draw_blocks,
            ("layer", "channel", "batch", "groups"),
            "Images go down, channels across, the pixels of a map into the depth; eight images are "
            "drawn at most. Counted from a backward pass: whatever has a part in one output of the "
            "chosen cell. After Wu and He 2018, arXiv:1803.08494, Figure 2.",
        ),
        Card(
            "noise",
            "Why small batches hurt batch norm",
            draw_noise,
            ("layer", "channel", "groups"),
            f"{norm_lab.DRAWS} random batches of each size. Wu and He 2018, arXiv:1803.08494, "
            "trace batch norm's errors with small batches to such estimates.",
        ),
    )


def number(value: float) -> str:
    """Three decimals, and no minus before a zero."""
    return f"{value:z.3f}"


def _maps(layer: str, channel: float) -> Tensor:
    """(512, 1, H, W) of one channel."""
    place = int(channel)
    return norm_lab.digits_into_norms()[layer][:, place : place + 1]


def draw_activations(
    layer: str, channel: float, *, batch: float, mode: str, steps: float, **norm: float
) -> Any:
    """A batch as it comes in, normalised, and scaled and shifted; norm: gamma, beta, eps, momentum.

    eps is a power of ten here, as on its slider, and so is batch one of two.
    """
    eps, size = 10 ** norm["eps"], 2 ** int(batch)
    maps = _maps(layer, channel)
    raw = next(norm_lab.batches(maps, size))
    used = norm_lab.lone_norm(eps=eps, momentum=norm["momentum"])
    if mode == "eval":
        norm_lab.after_steps(used, maps, batch_size=size, steps=int(steps))
        used.eval()
    normalised, scaled = norm_lab.outputs(used, raw, gamma=norm["gamma"], beta=norm["beta"])
    sets = {"as it comes in": raw, "normalised": normalised, "times gamma, plus beta": scaled}
    if mode == "eval":
        trained, _ = norm_lab.outputs(used.train(), raw, gamma=1, beta=0)
        words = _evaluated(used, normalised, trained, int(steps))
    else:
        words = _trained(raw, normalised, scaled, eps)
    if size == 1 and mode == "train":
        words += _alone(raw, eps)
    return [
        html.Div(_histograms(sets, maps, words), className="two"),
        html.P(words),
        table(
            (f"{raw.numel():,} values", "mean", "standard deviation", "least", "largest"),
            [(name, *map(number, _summary(values))) for name, values in sets.items()],
            label="The channel before and after",
        ),
    ]


def _summary(values: Tensor) -> tuple[float, float, float, float]:
    """Mean, standard deviation (by the number of values), least, largest."""
    deviation = float(values.std(correction=0))
    return float(values.mean()), deviation, float(values.min()), float(values.max())


def _histograms(sets: dict[str, Tensor], maps: Tensor, words: str) -> list[Any]:
    """The first on an axis that all batches share, the others together on one for all settings."""
    values = {name: found.flatten().tolist() for name, found in sets.items()}
    first = {name: values.pop(name) for name in list(values)[:1]}
    before = figures.histograms(
        first, low=float(maps.min()), high=float(maps.max()), value="activation"
    )
    after = figures.histograms(values, low=-_RANGE, high=_RANGE, value="output of the norm")
    return [
        graph(f"{PATH}-before", before, describes=f"Histogram before the norm. {words}"),
        graph(f"{PATH}-after", after, describes=f"Histograms after the norm. {words}"),
    ]


def _trained(raw: Tensor, normalised: Tensor, scaled: Tensor, eps: float) -> str:
    (mean, deviation), (left, width) = _summary(raw)[:2], _summary(normalised)[:2]
    end, spread = _summary(scaled)[:2]
    words = (
        f"The channel comes in with mean {number(mean)} and standard deviation "
        f"{number(deviation)}. The batch's own are taken out of it, which leaves {number(left)} "
        f"and {number(width)}; gamma and beta make {number(end)} and {number(spread)} of them. "
    )
    if eps > 0.01 * deviation**2:
        words += (
            f"Epsilon is no trifle beside the variance of {deviation**2:.3g}, so the deviation "
            "falls short of one. "
        )
    return words


def _evaluated(used: nn.BatchNorm2d, normalised: Tensor, trained: Tensor, steps: int) -> str:
    assert used.running_mean is not None
    assert used.running_var is not None
    (left, width), (own, unit) = _summary(normalised)[:2], _summary(trained)[:2]
    return (
        f"Evaluation takes out the running mean after {_steps(steps)}, "
        f"{number(float(used.running_mean))}, and the root of the running variance, "
        f"{number(float(used.running_var.sqrt()))}, whatever the batch. That leaves a mean of "
        f"{number(left)} and a standard deviation of {number(width)}, where training leaves "
        f"{number(own)} and {number(unit)}. "
    )


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _alone(raw: Tensor, eps: float) -> str:
    return (
        f"One image is the whole batch: its {raw.numel()} pixels are normalised by themselves, as "
        f"in instance norm (the largest difference is {norm_lab.from_instance(raw, eps):.1g}), and "
        "how strong the channel is in this picture is lost. On maps of one pixel PyTorch refuses: "
        f"“{norm_lab.refused(1)}”. "
    )


def draw_example(gamma: float, beta: float, eps: float) -> Any:
    """Algorithm 1 on four numbers, a row each."""
    mean, var, hats, ys = batch_norm(EXAMPLE, gamma, beta, eps=10**eps)
    batch = torch.tensor(EXAMPLE).view(-1, 1, 1, 1)
    _, torchs = norm_lab.outputs(norm_lab.lone_norm(eps=10**eps), batch, gamma=gamma, beta=beta)
    apart = max(abs(float(t) - y) for t, y in zip(torchs.flatten(), ys, strict=True))
    rows = [
        (f"{x:g}", number(x - mean), number(hat), number(y))
        for x, hat, y in zip(EXAMPLE, hats, ys, strict=True)
    ]
    return [
        facts(
            (
                ("1. Mean", f"{mean:g}"),
                ("2. Variance", f"{var:g}, over {len(EXAMPLE)} values"),
                ("3. Its root, with epsilon", f"{(var + 10**eps) ** 0.5:.6f}"),
            )
        ),
        table(
            ("x", "x − mean", "4. over the root", f"5. times {gamma:g}, plus {beta:g}"),
            rows,
            label="Batch norm of four numbers",
        ),
        html.P(
            [
                f"PyTorch's batch norm agrees up to {apart:.1g}. With gamma 2 and beta 1 these are "
                "the numbers of a worked example that is judged among the ",
                link("claims", "claims", section="bn"),
                ": rounding before the last step gives others.",
            ],
            className="quiet",
        ),
    ]


def draw_running(layer: str, channel: float, batch: float, momentum: float, steps: float) -> Any:
    """Running mean and variance beside those of each batch, and what evaluation would get wrong."""
    size, now = 2 ** int(batch), int(steps)
    norm = norm_lab.lone_norm(momentum=momentum)
    seen = islice(norm_lab.batches(_maps(layer, channel), size), _STEPS + 1)
    moments = norm_lab.catch_up(norm, seen)
    here, end = moments[now], moments[-1]
    behind = (
        f"After {_steps(now)} the running mean is {number(here.running_mean)}, that of the next "
        f"batch {number(here.batch_mean)}; the running variance {number(here.running_var)} and "
        f"{number(here.batch_var)}. Each step keeps {100 * (1 - momentum):.0f} % of the old, so "
        f"{100 * (1 - momentum) ** now:.2g} % of the start, mean 0 and variance 1, is left."
    )
    apart = (
        f"Evaluating that batch now gives outputs that lie {number(here.gap)} from those of "
        f"training (root mean square), after {_STEPS} steps {number(end.gap)}. Evaluated too "
        "early, it is another network than the one that was trained."
    )
    means = {"running": [m.running_mean for m in moments], "batch": [m.batch_mean for m in moments]}
    variances = {
        "running": [m.running_var for m in moments],
        "batch": [m.batch_var for m in moments],
    }
    gaps = {"evaluation from training": [m.gap for m in moments]}
    plots = [
        graph(
            f"{PATH}-{name}",
            figures.with_mark(_chart(title, sets, words), now),
            describes=f"{title} by steps. {words}",
        )
        for name, title, sets, words in (
            ("means", "mean", means, behind),
            ("variances", "variance", variances, behind),
            ("gaps", "distance of the outputs", gaps, apart),
        )
    ]
    return [html.P(behind), html.Div([*plots, html.P(apart)], className="two")]


def _chart(title: str, sets: dict[str, list[float]], caption: str) -> LineChart:
    series = [Series(name, range(len(values)), values) for name, values in sets.items()]
    return LineChart(title, Axis("steps so far"), Axis(title), series, caption)
