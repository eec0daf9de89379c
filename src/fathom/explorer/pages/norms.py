"""Batch norm beside layer, instance and group norm: what each averages, and what follows for small
batches. Two cards of the page of batch norm."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

from dash import html
from torch import Tensor, nn

from fathom import norm_lab
from fathom.explorer.shell import graph
from fathom.figures.batch_norm import block
from fathom.figures.charts import Axis, LineChart, Series
from fathom.figures.draw import draw
from fathom.layers import make_norm, norm_groups

NORMS = ("batch", "layer", "instance", "group")
BATCHES = [2**power for power in range(9)]
_IMAGE = 2  # the image of the chosen cell


def _norm(name: str, channels: int, groups: int) -> nn.Module:
    """The norm that a network of the zoo has, but with these groups."""
    return nn.GroupNorm(groups, channels) if name == "group" else make_norm(name, channels)


def draw_blocks(layer: str, channel: float, batch: float, groups: str) -> Any:
    """For each norm the block of a batch, with what is averaged together with one cell."""
    size, place = 2 ** int(batch), int(channel)
    _, channels, height, width = norm_lab.digits_into_norms()[layer].shape
    shape, image = (size, channels, height, width), min(_IMAGE, size - 1)
    parts = []
    for name in NORMS:
        averaged, count = _reach(name, shape, image, place, int(groups))
        images, across = int(averaged.any(1).sum()), int(averaged.any(0).sum())
        words = (
            f"{count:,} numbers: {_many(images, 'image')} x {_many(across, 'channel')} x "
            f"{height}x{width} pixels."
        )
        figure = block(averaged.tolist(), image=image, channel=place)
        plot = graph(f"norms-{name}", figure, describes=f"{name} norm: {words}")
        title = f"{name.capitalize()} norm"
        parts.append(html.Div([html.H3(title), plot, html.P(words)]))
    _, of_pixel = _reach("channel_layer", shape, image, place, int(groups))
    words = (
        f"The chosen cell is channel {place} of image {image}. Only batch norm looks at other "
        f"images. Group norm has {_many(int(groups), 'group')} of "
        f"{_many(channels // int(groups), 'channel')} here; networks of the zoo take "
        f"{norm_groups(channels)} for {channels} channels. With one group it is layer norm, with "
        "one channel a group instance norm. ConvNeXt's layer norm averages "
        f"{of_pixel} numbers: the channels of one pixel."
    )
    return [html.P(words), html.Div(parts, className="two")]


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


@lru_cache(64)
def _reach(
    name: str, shape: tuple[int, int, int, int], image: int, channel: int, groups: int
) -> tuple[Tensor, int]:
    norm = _norm(name, shape[1], groups)
    return norm_lab.reach(norm, shape, image=image, channel=channel)


class _Noise(NamedTuple):
    """By norm and batch size: the scatter of the mean that is subtracted, in deviations of the
    channel, and how far outputs in training are from those in evaluation."""

    means: dict[str, list[float]]
    gaps: dict[str, list[float]]


@lru_cache(64)
def _noise(layer: str, channel: int, groups: int) -> _Noise:
    maps = norm_lab.digits_into_norms()[layer]
    own, channels = maps[:, channel], maps.shape[1]
    deviation = float(own.std())
    noise = [norm_lab.noise_of_batches(own, size) for size in BATCHES]
    means = {"batch": [scatter / deviation for scatter, _ in noise]}
    gaps = {"batch": [gap for _, gap in noise]}
    for name, parts in (("layer", 1), ("instance", channels), ("group", groups)):
        scatter = norm_lab.spread_of_image_means(maps, parts, channel) / deviation
        means[name] = [scatter] * len(BATCHES)
        norm = _norm(name, channels, groups)
        gaps[name] = [norm_lab.gap_of_images(norm, maps[:b]) for b in BATCHES]
    return _Noise(means, gaps)


def draw_noise(layer: str, channel: float, groups: str) -> Any:
    """How far the means of each norm scatter, and training from evaluation, by the batch size."""
    means, gaps = _noise(layer, int(channel), int(groups))
    scatter, gap, most = means["batch"], gaps["batch"], BATCHES[-1]
    others = max(max(values) for name, values in gaps.items() if name != "batch")
    words = (
        f"The mean that batch norm subtracts scatters by {scatter[0]:.3f} of the channel's "
        f"deviation with batches of 1, and by {scatter[-1]:.3f} with {most}. Evaluation takes "
        f"one mean for all, so its outputs lie {gap[1]:.3f} from those of training in batches "
        f"of {BATCHES[1]} and {gap[-1]:.3f} in batches of {most} (root mean square). The "
        "means of the others differ from image to image as well (by "
        f"{means['layer'][0]:.3f} with layer, {means['instance'][0]:.3f} with instance and "
        f"{means['group'][0]:.3f} with group norm), but each image keeps its own in any batch: the "
        f"distance is {others:g}."
    )
    charts = {
        "means": _by_batch(Axis("scatter of the mean (deviations)", "log"), means, words),
        "gaps": _by_batch(Axis("distance of training from evaluation"), gaps, words),
    }
    plots = [
        graph(f"norms-noise-{name}", draw(chart), describes=f"{chart.title}. {words}")
        for name, chart in charts.items()
    ]
    return [html.P(words), html.Div(plots, className="two")]


def _by_batch(axis: Axis, values: dict[str, list[float]], caption: str) -> LineChart:
    series = [Series(f"{name} norm", BATCHES, found) for name, found in values.items()]
    return LineChart(axis.title, Axis("batch size", "log"), axis, series, caption, marked=True)
