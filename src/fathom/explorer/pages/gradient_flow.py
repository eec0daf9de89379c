"""What of the gradient arrives at the first layers, in networks that nobody has trained yet."""

from __future__ import annotations

import math
from typing import Any

from dash import html

from fathom.experiments.flow import Flow
from fathom.experiments.fresh import ACTIVATIONS, Fresh
from fathom.experiments.initialisation import DEVIATIONS
from fathom.experiments.registry import EXPERIMENTS
from fathom.explorer.controls import again, choice, switch
from fathom.explorer.page import Card, Page
from fathom.explorer.passes import DATA, FEW, looked_at, passed, walked
from fathom.explorer.shell import graph, link, table
from fathom.figures import draw
from fathom.figures.charts import Axis, LineChart, Series
from fathom.layers import NORMS, is_affine
from fathom.ledger.recorded import recorded

PATH = "gradient-flow"
RATE = 0.1  # the first learning rate of He et al. 2015, arXiv:1512.03385, Section 4.2
_DEPTHS = (8, 20, 32, 44, 56, 110, 152)
_NORMS = {
    "batch": "Batch norm",
    "layer": "Layer norm",
    "channel_layer": "Layer norm of each pixel",
    "instance": "Instance norm",
    "group": "Group norm",
    "response": "Local response norm",
    "none": "None",
}
_SCHEMES = {
    "Kaiming": "Kaiming",
    "Xavier": "Xavier",
    "too small": "Too small: half of Kaiming's",
    "too large": "Too large: twice Kaiming's",
}
_ACTIVATIONS = {"relu": "ReLU", "gelu": "GELU", "tanh": "Tanh", "sigmoid": "Sigmoid"}
_SQUASHING = ("tanh", "sigmoid")
_CONTROLS = ("depth", "skip", "norm", "scheme", "activation", "seed")
_TOLD = ("degradation", "gradient-flow", "initialisation")  # experiments that bear on it
_HEALTHY = 10.0  # times, between the first and the last layer
_STILL = 1e-4  # of the weights' norm: a step that changes nothing
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def page() -> Page:
    """The page of gradients."""
    return Page(
        path=PATH,
        title="Gradient flow",
        lead="Why does a plain network of 56 layers not train? Take shortcuts and norms away, and "
        "see what is left of the gradient at each layer, before any training.",
        controls=(
            choice("depth", "Depth", {str(d): f"{d} layers" for d in _DEPTHS}, "56"),
            switch("skip", "Shortcuts"),
            choice("norm", "Norm", {name: _NORMS[name] for name in NORMS}, "batch"),
            choice("scheme", "First weights", {n: _SCHEMES[n] for n in DEVIATIONS}, "Kaiming"),
            choice("activation", "Activation", {n: _ACTIVATIONS[n] for n in ACTIVATIONS}, "relu"),
            again("seed", "Draw other weights"),
        ),
        cards=(
            Card("gradient", "Gradient by layer", draw_gradient, _CONTROLS),
            Card("four", "Why does it not train?", draw_four, _CONTROLS),
            Card("scale", "What is left of the picture", draw_scale, _CONTROLS),
            Card(
                "paths",
                "The paths of a residual network",
                draw_paths,
                tuple(name for name in _CONTROLS if name != "skip"),
                "Veit et al. 2016, arXiv:1605.06431: a block can be gone through or passed by, so "
                "L blocks are 2^L paths. They found that in a network of 110 layers most of the "
                "gradient comes along paths that are 10 to 34 layers deep.",
            ),
            Card("found", "What training showed", draw_found),
        ),
    )


def _twins(depth: str, skip: bool, norm: str, scheme: str, activation: str) -> tuple[Fresh, Fresh]:
    """The network that is chosen, and the same with shortcuts where it has none."""
    own, twin = (Fresh(int(depth), r, norm, scheme, activation) for r in (skip, not skip))
    return own, twin


def draw_gradient(
    depth: str, skip: bool, norm: str, scheme: str, activation: str, seed: int
) -> Any:
    """The norm of the gradient of each convolution, of the network chosen and of its twin."""
    twins = _twins(depth, skip, norm, scheme, activation)
    passes = [passed(fresh, seed) for fresh in twins]
    told = [
        f"{_name(fresh, capital=True)}: the first convolution's gradient has a norm of "
        f"{number(one.flow.gradients[0])}, the last one's {number(one.flow.gradients[-1])}: "
        f"{_slope(one.flow)}."
        for fresh, one in zip(twins, passes, strict=True)
    ]
    series = [
        Series(_name(fresh), range(1, int(depth)), one.flow.gradients)
        for fresh, one in zip(twins, passes, strict=True)
    ]
    figure = draw(
        LineChart(
            "",
            Axis("Convolution, from the image"),
            Axis("Norm of the gradient", "log"),
            series,
            "",
        )
    )
    first, last = (passes[0].flow.moved(RATE)[place] for place in (0, -1))
    step = (
        "A step of SGD has one learning rate for all layers. At a rate of "
        f"{RATE:g}, with which He et al. 2015 begin (arXiv:1512.03385, Section 4.2), the first "
        f"step would move the first convolution of this network ({_name(twins[0])}) by "
        f"{percent(first)} of its weights' norm, and the last one by {percent(last)}."
    )
    images = looked_at().images
    under = (
        f"{len(images)} {DATA} of {images.shape[2]} x {images.shape[3]} pixels, mean cross "
        f"entropy, training mode, float64; weights of seed {seed}. Both passes, with building the "
        f"networks, took {sum(p.seconds for p in passes):.2f} s."
    )
    return [
        graph(f"{PATH}-gradient-graph", figure, describes=" ".join(told)),
        *map(html.P, [*told, step, *_remarks(twins[0])]),
        html.P(under, className="quiet"),
    ]


def _remarks(fresh: Fresh) -> list[str]:
    """What one has to know to read the lines rightly."""
    if fresh.norm == "none" and fresh.activation == "relu" and not fresh.residual:
        return [
            "Without norms and shortcuts a factor on the weights of one layer is a factor on the "
            "gradients of all others, for ReLU hands it on. So it is the height of the line that "
            "counts, not its slope: a level line is no sign of health."
        ]
    if fresh.residual and fresh.activation in _SQUASHING:
        return [
            "In this family the activation comes behind the sum, so that what takes the shortcut "
            "is squashed, too. He et al. 2016 (arXiv:1603.05027) moved it into the branch."
        ]
    return []


def draw_four(depth: str, skip: bool, norm: str, scheme: str, activation: str, seed: int) -> Any:
    """Plain and residual, with a norm and without: who gets a gradient that can be used?"""
    normed = "batch" if norm == "none" else norm
    all_four = [
        Fresh(int(depth), residual, named, scheme, activation)
        for residual in (False, True)
        for named in ("none", normed)
    ]
    flows = {fresh: passed(fresh, seed).flow for fresh in all_four}
    rows = []
    for fresh, found in flows.items():
        first, last = found.gradients[0], found.gradients[-1]
        moved = percent(found.moved(RATE)[0])
        cells = [_name(fresh), *map(number, (first, last, first / last)), moved]
        chosen = fresh.residual == skip and fresh.norm == norm
        rows.append([html.Strong(cell) for cell in cells] if chosen else cells)
    heads = ("network", "gradient, first layer", "last layer", "ratio", "first step, first layer")
    return [
        table(heads, rows, label="Plain and residual, with a norm and without"),
        html.Ul([html.Li(f"{_name(f, capital=True)}: {_fate(flows[f])}.") for f in flows]),
        html.P(_answer(flows[all_four[1]], normed)),
        html.P(
            f"A step at a rate of {RATE:g}, against the norm of the layer's weights; above 100 % "
            f"it is called thrown away here, below {100 * _STILL:g} % too small.",
            className="quiet",
        ),
    ]


def _fate(found: Flow) -> str:
    """What the first step of SGD makes of such gradients."""
    share, ratio = found.moved(RATE)[0], found.gradients[0] / found.gradients[-1]
    first = f"{percent(share)} of its weights' norm"
    if _STILL <= share <= 1:
        return f"a first step moves the first layer by {first}, which is a step one can train with"
    if share < _STILL:
        does = f"leaves the first layer where it is: it moves it by {first}"
        what = "is too small from end to end"
        if ratio < 1 / _HEALTHY:
            what = f"vanishes: it becomes {number(1 / ratio)} times smaller on its way back"
    else:
        does = f"throws the first layer away: it moves it by {first}"
        what = "is too large from end to end"
        if ratio > _HEALTHY:
            what = f"explodes: it grows {number(ratio)} times on its way back"
    return f"the gradient {what}; a first step {does}"


def _answer(plain: Flow, norm: str) -> str:
    """Whether a vanishing gradient is what stops the plain network with this norm."""
    named, ratio = _NORMS[norm].lower(), plain.gradients[0] / plain.gradients[-1]
    if ratio < 1 / _HEALTHY:
        return f"So with {named}, too, the gradient vanishes on its way to the first layers."
    text = f"So it is no vanishing gradient that would stop the plain network with {named}."
    if norm != "batch":
        return text
    text += (
        " He et al. 2015 say so, too (arXiv:1512.03385, Section 4.1), and suppose that deep plain "
        "networks converge exponentially slowly."
    )
    if ratio > _HEALTHY:
        text += (
            " They call the gradients healthy; before training these explode, as Yang et al. 2019 "
            "found (arXiv:1902.08129): without shortcuts batch norm itself is the cause, and very "
            "deep networks do not train, though after a single step the gradients are far less "
            "apart."
        )
    return f"{text} What training showed here is at the foot of the page."


def draw_scale(depth: str, skip: bool, norm: str, scheme: str, activation: str, seed: int) -> Any:
    """The standard deviation behind each block, of the network chosen and of its twin."""
    twins = _twins(depth, skip, norm, scheme, activation)
    flows = [passed(fresh, seed).flow for fresh in twins]
    scales = [found.activations[::2] for found in flows]  # the others are within the blocks
    told = [
        f"{_name(fresh, capital=True)}: the standard deviation is {number(scale[0])} behind the "
        f"stem and {number(scale[-1])} behind the last block."
        for fresh, scale in zip(twins, scales, strict=True)
    ]
    series = [
        Series(_name(fresh), range(len(scale)), scale)
        for fresh, scale in zip(twins, scales, strict=True)
    ]
    figure = draw(
        LineChart("", Axis("Block, from the image"), Axis("Standard deviation", "log"), series, "")
    )
    return [
        graph(f"{PATH}-scale-graph", figure, describes=" ".join(told)),
        *map(html.P, [*told, _left(twins[0], flows[0])]),
    ]


def _left(fresh: Fresh, found: Flow) -> str:
    """What the scale behind the last activation means for the network."""
    kept, who = found.activations[-1] / found.activations[0], f"this network ({_name(fresh)})"
    if kept < 1e-3:
        return (
            f"Hardly anything of the picture is left at the end of {who}: it says the same of "
            "every image, so no gradient can tell it how they differ."
        )
    if kept > 1e3:
        return (
            f"The logits of {who} are huge: it is sure of its guess before it has learnt anything, "
            "and its loss is as large."
        )
    if is_affine(fresh.norm):
        return f"In {who} norms set the scale anew in every block, so depth cannot use it up."
    return f"In {who} no norm sets the scale, yet it stays within a factor of a thousand."


def draw_paths(depth: str, norm: str, scheme: str, activation: str, seed: int) -> Any:
    """How many paths there are of each length, and how much of the gradient comes along them."""
    found = walked(Fresh(int(depth), True, norm, scheme, activation), seed)
    blocks = len(found.shares) - 1
    lengths = range(blocks + 1)
    counts = [math.comb(blocks, length) for length in lengths]
    middle = blocks / 2
    mean = sum(length * share for length, share in enumerate(found.shares))
    series = [
        Series("of the paths", lengths, [100 * count / 2**blocks for count in counts]),
        Series("of the gradient", lengths, [100 * share for share in found.shares]),
    ]
    chart = LineChart("", Axis("Blocks gone through"), Axis("Share (%)"), series, "", marked=True)
    most = max(lengths, key=lambda length: found.shares[length])
    words = (
        f"{blocks} blocks with shortcuts are 2^{blocks} = {whole(2**blocks)} paths. On average "
        f"they go through {middle:g} blocks; weighted by the gradient that comes along them, "
        f"through {mean:.1f}. Paths through {most} blocks bring the most of it, "
        f"{100 * found.shares[most]:.1f} %. {_shift(mean, middle)} The plain network is one path, "
        f"through all {blocks}."
    )
    under = (
        f"The gradient of the map behind the stem, from {FEW} {DATA}: all paths of a length "
        "together, exactly, as the part of their sum along the whole gradient; shares add up to "
        f"100 %. Nothing is trained. It took {found.seconds:.2f} s."
    )
    return [
        graph(f"{PATH}-paths-graph", draw(chart), describes=words),
        html.P(words),
        html.P(under, className="quiet"),
    ]


def _shift(mean: float, middle: float) -> str:
    if mean < middle - 0.5:
        return "So the gradient favours short paths."
    if mean > middle + 0.5:
        return "So the gradient favours long paths."
    return "So the gradient favours neither short paths nor long ones."


def draw_found() -> Any:
    """What recorded experiments say about it."""
    parts: list[Any] = []
    for name in _TOLD:
        found = recorded(name)
        more = html.P(link(f"The experiment {name}", "experiments", experiment=name))
        if found is None:
            shows = EXPERIMENTS[name].shows
            head, say = f"{shows[0].upper()}{shows[1:]}", [f"No run of {name} is recorded yet."]
        else:
            setting = found["setting"]
            head, say = found["title"], found["findings"]["sentences"]
            say = [*say, f"Recorded {setting['date']} on {setting['data']}."]
        parts += [html.H3(head), *map(html.P, say), more]
    return parts


def _name(fresh: Fresh, *, capital: bool = False) -> str:
    kind = "residual" if fresh.residual else "plain"
    norm = "no norm" if fresh.norm == "none" else _NORMS[fresh.norm].lower()
    return f"{kind.capitalize() if capital else kind}, {norm}"


def _slope(found: Flow) -> str:
    """What happens to the gradient from the last convolution to the first."""
    ratio = found.gradients[0] / found.gradients[-1]
    if ratio > _HEALTHY:
        return f"it grows {number(ratio)} times on its way back"
    if ratio < 1 / _HEALTHY:
        return f"it becomes {number(1 / ratio)} times smaller on its way back"
    return "on its way back it stays within a factor of ten"


def number(value: float) -> str:
    """Two or three digits, as a power of ten where it is far from one: "620", "1.3 x 10^-5" with
    the exponent raised."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 < power < 6:
        return f"{value:,.{max(0, 2 - power)}f}"
    digits, exponent = f"{value:.1e}".split("e")
    together = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"
    return f"{digits}{together}10{str(int(exponent)).translate(_RAISED)}"


def whole(count: int) -> str:
    """All digits of a count, while there are at most twelve."""
    return f"{count:,}" if count < 10**12 else number(count)


def percent(share: float) -> str:
    """A share in percent."""
    return f"{number(100 * share)} %"
