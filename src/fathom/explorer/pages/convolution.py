"""Convolutions: what a row of them sees, what they cost, and what a network really looks at."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from dash import Dash, Input, Output, html

from fathom.costs import Cost, cost
from fathom.costs.designs import Design, conv_designs
from fathom.costs.effective import EffectiveField, effective_field
from fathom.costs.stacks import Window, alternatives, make_stack, paths
from fathom.explorer.controls import Control, choice, slider
from fathom.explorer.page import Card, Page
from fathom.explorer.shell import graph, message, table
from fathom.figures import convolution as figures
from fathom.figures import effective_receptive_field
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card
from fathom.runtime import derive_seed

PATH = "convolution"
PRESETS: dict[str, tuple[str, tuple[Window, ...]]] = {
    "three3": ("Three 3x3", (Window(3),) * 3),
    "two3": ("Two 3x3", (Window(3),) * 2),
    "one7": ("One 7x7", (Window(7),)),
    "one5": ("One 5x5", (Window(5),)),
    "stem": ("ResNet's stem", (Window(7, 2), Window(3, 2, pool=True))),
    "dilated": ("3x3, dilated 1, 2, 4", tuple(Window(3, dilation=d) for d in (1, 2, 4))),
    "holes": ("3x3, all dilated 2", (Window(3, dilation=2),) * 3),
}
_OWN = "own"
_SLIDERS = ("layers", "kernel", "stride", "dilation")
_CHANNELS = [(64, "64"), (256, "256"), (512, "512"), (1024, "1024")]
_RATIOS = ("parameters, times", "multiply-adds, times")
SIDE = 56  # pixels of the map that multiply-adds are counted on
NETWORKS = (
    *("cifar_resnet20", "cifar_plain20", "cifar_resnet56", "cifar_densenet40_k12"),
    *("resnet18", "plain18", "mobilenet_v2", "vgg11", "googlenet", "resnet50", "densenet121"),
    *("efficientnet_b0", "convnext_tiny"),
)
_LEAST_SIDE = 96  # pixels that the field of a small network is looked for on
_SAMPLES = 6


def page() -> Page:
    """The page of convolutions."""
    return Page(
        path=PATH,
        title="Convolution",
        lead="How much of the image one output pixel sees, what that costs, and how little of it a "
        "network really looks at. A slider of the stack makes it your own.",
        controls=(
            _preset(),
            slider("layers", "Layers", [(n, str(n)) for n in range(1, 6)], 3),
            slider("kernel", "Kernel", [(n, f"{n}x{n}") for n in (1, 3, 5, 7)], 3, step=2),
            slider("stride", "Stride", [(1, "1"), (2, "2")], 1),
            slider("dilation", "Dilation", [(1, "1"), (2, "2"), (3, "3")], 1),
            slider("channels", "Channels", _CHANNELS, 256, step=64),
            choice("groups", "Groups", {str(2**n): str(2**n) for n in range(1, 7)}, "32"),
            choice("network", "Network", {name: name for name in NETWORKS}, NETWORKS[0]),
            choice("stage", "Stage", {"last": "the last"} | {str(n): str(n) for n in range(1, 8)},
                   "last"),
        ),
        cards=(
            Card(
                "stack",
                "What one output pixel sees",
                draw_stack,
                ("preset", *_SLIDERS, "channels"),
                f"As many channels in as out in every layer, no biases; the first map has {SIDE}x"
                f"{SIDE} pixels. Simonyan & Zisserman 2014, arXiv:1409.1556, Section 2.3.",
            ),
            Card(
                "designs",
                "The same map from other convolutions",
                draw_designs,
                ("channels", "groups"),
                f"Stride 1, {SIDE}x{SIDE} pixels, no biases. Reduced first: Szegedy et al. 2014, "
                "arXiv:1409.4842. Bottleneck: He et al. 2015, arXiv:1512.03385. Groups: Xie et al. "
                "2016, arXiv:1611.05431. Separable: Howard et al. 2017, arXiv:1704.04861.",
            ),
            Card(
                "effective",
                "What a network really looks at",
                draw_effective,
                ("network", "stage"),
                f"The gradient of the map's middle pixel at every pixel of the image, over "
                f"{_SAMPLES} images of noise, with fresh weights: Luo et al. 2016, "
                "arXiv:1701.04128. A fresh ConvNeXt scales its branches by a millionth, and so "
                "sees only its patches. Networks for large images take some seconds the first "
                "time. `fathom cost RUN --effective FILE.html` draws it for trained weights.",
            ),
        ),
    )  # fmt: skip


def _preset() -> Control:
    """The stacks to choose from; moving one of the sliders makes it the reader's own."""
    names = {key: name for key, (name, _) in PRESETS.items()}
    plain = choice("preset", "Stack", names | {_OWN: "Your own"}, "three3")
    inputs = [Input(f"{PATH}-{name}", "value") for name in _SLIDERS]

    def wire(app: Dash, identifier: str) -> None:
        own = Output(identifier, "value", allow_duplicate=True)

        @app.callback(own, inputs, prevent_initial_call=True)
        def moved(*_: float) -> str:
            return _OWN

    return replace(plain, wire=wire)


def chosen(
    preset: str, layers: float, kernel: float, stride: float, dilation: float
) -> tuple[Window, ...]:
    """The layers that the controls say."""
    if preset != _OWN:
        return PRESETS[preset][1]
    return (Window(int(kernel), int(stride), int(dilation)),) * int(layers)


@lru_cache(64)
def counted(windows: tuple[Window, ...], channels: int) -> Cost:
    """The costs of a row of layers on a map of SIDE pixels."""
    with torch.device("meta"):
        return cost(make_stack(windows, channels), image_size=SIDE)


def draw_stack(channels: float, **stack: Any) -> Any:
    """The pyramid of a stack, the pixels it reads, and what it costs beside its alternatives."""
    windows, width = chosen(**stack), int(channels)
    rows = {"this stack": windows, **alternatives(windows)}
    costs = {name: counted(tuple(row), width) for name, row in rows.items()}
    words = " ".join((_sees(windows), _compares(costs, width), _unread(windows)))
    return [
        html.P(words),
        html.Div(
            [
                graph(f"{PATH}-pyramid", figures.pyramid(windows), describes=_backwards(windows)),
                graph(f"{PATH}-seen", figures.seen(windows), describes=_weighs(windows)),
            ],
            className="two",
        ),
        html.P([_backwards(windows), " ", _weighs(windows)]),
        html.H3("Layer by layer"),
        _layers(windows, costs["this stack"]),
        html.H3("Beside others that see as much"),
        _beside(costs, width),
    ]


def _sees(windows: Sequence[Window]) -> str:
    field = len(paths(windows)[0])
    count = "one layer" if len(windows) == 1 else f"{len(windows)} layers"
    return f"Through {count} one output pixel sees {field}x{field} pixels of the image."


def _compares(costs: dict[str, Cost], channels: int) -> str:
    """The stack against the first alternative, in weights."""
    own, *others = costs.items()
    if not others:
        return ""
    name, other = others[0]
    mine = own[1].params
    ratio = other.params / mine
    more = f"{100 * ratio - 100:.0f} % more" if ratio >= 1 else f"{100 - 100 * ratio:.0f} % less"
    if ratio >= 2:
        more = f"{ratio:,.1f} times as many"
    return (
        f"That takes {_squares(mine, channels)} weights, with C = {channels} channels; {name} "
        f"would take {_squares(other.params, channels)}, {more}."
    )


def _squares(params: int, channels: int) -> str:
    return f"{params // channels**2:,} C²"


def _unread(windows: Sequence[Window]) -> str:
    ways = paths(windows)[0]
    holes = sum(not count for count in ways.values())
    if not holes:
        return ""
    return f"But it never reads {holes} of the {len(ways)} pixels across: its taps leave holes."


def _backwards(windows: Sequence[Window]) -> str:
    widths = [len(ways) for ways in paths(windows)]
    return f"Backwards from the output, pixels across: {' ← '.join(map(str, widths))}."


def _weighs(windows: Sequence[Window]) -> str:
    """How unequal the pixels are that are seen."""
    ways = paths(windows)[0]
    most, corner, total = max(ways.values()) ** 2, ways[max(ways)] ** 2, sum(ways.values()) ** 2
    if set(ways.values()) == {1}:
        return f"Each of the {total:,} pixels is read once."
    return (
        f"Of {total:,} ways from the image to the output, {most:,} begin at the pixel that has "
        f"most and {corner:,} at a corner."
    )


def _layers(windows: Sequence[Window], found: Cost) -> Any:
    rows = [
        (
            str(number),
            window.text,
            f"{layer.field.size[0]:,}" if layer.field else "",
            f"{layer.output_shape[-1]} x {layer.output_shape[-2]}",
            f"{layer.params:,}",
            f"{layer.macs:,}",
        )
        for number, (window, layer) in enumerate(zip(windows, found.layers, strict=True), start=1)
    ]
    heads = ("layer", "reads", "sees (pixels)", "output", "parameters", "multiply-adds")
    return table(heads, rows, label="The stack layer by layer")


def _beside(costs: dict[str, Cost], channels: int) -> Any:
    own = costs["this stack"]
    rows = [
        (
            name,
            _squares(found.params, channels),
            f"{found.params:,}",
            f"{found.macs:,}",
            f"{found.params / own.params:.2f}",
            f"{found.macs / own.macs:.2f}",
        )
        for name, found in costs.items()
    ]
    heads = ("layers", "weights", "parameters", "multiply-adds", *_RATIOS)
    return table(heads, rows, label="The stack beside others with the same field")


def draw_designs(channels: float, groups: str) -> Any:
    """Ways to get from a map to another of the same size, as bars and as a table."""
    width, split = int(channels), int(groups)
    found = possible_designs(width, split)
    plain, separable = found["plain 3x3"], found["separable"]
    words = (
        f"From {width} to {width} channels the separable convolution needs "
        f"{plain.macs / separable.macs:.1f} times fewer multiply-adds than the plain one, the "
        f"bottleneck {plain.macs / found['bottleneck'].macs:.1f} times and {split} groups "
        f"{plain.macs / found['grouped'].macs:.0f} times. Of the separable one's, "
        f"{100 * separable.steps[1].macs / separable.macs:.0f} % are in its 1x1 convolution."
    )
    rows = [
        (
            name,
            " → ".join(step.text for step in design.steps),
            f"{design.params:,}",
            f"{design.macs:,}",
            f"{design.params / plain.params:.3f}",
            f"{design.macs / plain.macs:.3f}",
        )
        for name, design in found.items()
    ]
    heads = ("design", "convolutions", "parameters", "multiply-adds", *_RATIOS)
    return [
        graph(f"{PATH}-designs-graph", figures.designs(found), describes=words),
        html.P(words),
        table(heads, rows, label="Designs beside the plain convolution"),
    ]


def possible_designs(channels: int, groups: int) -> dict[str, Design]:
    """Designs of a 3x3 convolution by name; those that narrow go to a quarter of the channels."""
    narrow = channels // 4
    three = conv_designs(
        channels,
        channels,
        kernel=3,
        size=SIDE,
        reduce=narrow,
        bottleneck=narrow,
        groups=groups,
        separable=True,
    )
    (one,) = conv_designs(channels, channels, kernel=1, size=SIDE)
    names = ("plain 3x3", "reduced first", "bottleneck", "grouped", "separable")
    return {**dict(zip(names, three, strict=True)), "1x1 alone": one}


def draw_effective(network: str, stage: str) -> Any:
    """How much each pixel of the image moves a stage's middle pixel, in the square it could see."""
    stages = len(_fresh(network).stages)
    number = stages if stage == "last" else int(stage)
    if number > stages:
        return message(f"{network} has {stages} stages; choose one of them, or the last.")
    found, seconds = looked(network, number)
    side = found.heat.shape[0]
    words = f"After stage {number} of {network} the field is {_extent(found, side)}"
    plot = effective_receptive_field(found)
    return [
        graph(f"{PATH}-effective-graph", plot, describes=words),
        html.P([words, f" Measured in {seconds:.1f} s."]),
        html.P(
            "Solid: the square that the graph allows, as far as it is on the image. Dotted: a "
            "square of as many pixels as have above 4.55 % of the largest gradient.",
            className="quiet",
        ),
    ]


def _extent(found: EffectiveField, side: int) -> str:
    if found.theoretical is None:
        return f"unknown; {found.size:.0f}x{found.size:.0f} pixels carry weight."
    size = found.theoretical.size[0]
    inside = min(size, side)
    beyond = f", more than the image of {side}" if size > side else ""
    share = 100 * (found.size / inside) ** 2
    return (
        f"{size}x{size} pixels{beyond}. Those that carry weight would fill a square of "
        f"{found.size:.0f}x{found.size:.0f}, {share:.0f} % of what is seen of the image."
    )


@lru_cache(2)
def _fresh(network: str) -> ImageClassifier:
    """A network with the same fresh weights every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("convolution", network))
        return build_model(network)


@lru_cache(32)
def looked(network: str, stage: int) -> tuple[EffectiveField, float]:
    """The effective field after a stage, counted from 1, and the seconds that it took."""
    model = _fresh(network)
    side = max(_LEAST_SIDE, model_card(network).image_size)
    start = time.perf_counter()
    found = effective_field(model, image_size=side, stage=stage - 1, samples=_SAMPLES)
    return found, time.perf_counter() - start
