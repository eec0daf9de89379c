"""Residual networks, their plain twins without the shortcut, and what grew from them by one switch.

He, Zhang, Ren, Sun 2015, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385):
a block computes F(x) + x instead of F(x), so that the identity is what a block does by doing
nothing. `residual=False` takes the shortcut away and leaves everything else: the plain networks of
the paper's Figures 4 and 6, whose training error rises with depth.

Zagoruyko and Komodakis 2016 (arXiv:1605.07146) widen the inner convolution; Xie et al. 2016
(ResNeXt, arXiv:1611.05431) split it into groups; Hu et al. 2017 (SENet, arXiv:1709.01507) let every
channel of a branch be gated by all of them.

Switches (Spec):
  block        "basic": two 3x3 convolutions; "bottleneck": 1x1, 3x3, 1x1 with four times the
               channels; "senet": a bottleneck whose first convolution has half the inner channels
               (arXiv:1709.01507, Section 6.3)
  stem         "imagenet": 7x7 stride 2 and 3x3 max pooling; "deep": three 3x3 in place of the 7x7
               (arXiv:1709.01507, Section 6.3); "cifar": one 3x3 convolution
  shortcut     where shapes change: "projection" (option B), "projection3x3" (the same with a 3x3
               kernel where the resolution halves, as in SENet-154), "pad" (option A, no parameters)
  groups, group_width   the inner convolution has `groups` groups of group_width channels in the
               first stage, and twice as many channels in each further one
  reduction    squeeze and excitation with this ratio, None for none
  stochastic_depth   the drop probability of the last branch (Huang et al. 2016,
               arXiv:1603.09382)
  dropout      before the classifier
  zero_init    the last norm of each branch starts at zero, so that each block starts as the
               identity (Goyal et al. 2017, arXiv:1706.02677, Section 5.1)

Departures from the papers: the stride of a bottleneck is on its 3x3 convolution, not on the first
1x1 (as in torchvision); weights are initialised with fan-out, not fan-in (as in torchvision; the
two differ only where channels change); SENet-154 pools with padding, not with a rounded-up size (as
in timm's senet154).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fathom.errors import UserError, require, require_choice
from fathom.layers import SqueezeExcitation
from fathom.models.base import ImageClassifier
from fathom.models.keys import Row
from fathom.regularize import StochasticDepth, linear_decay

_EXPANSION = {"basic": 1, "bottleneck": 4, "senet": 4}


@dataclass(frozen=True)
class Spec:
    """The switches of the family; a variant is one row of them in `variants/resnet.py`."""

    block: Literal["basic", "bottleneck", "senet"]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: Literal["imagenet", "deep", "cifar"]
    shortcut: Literal["projection", "projection3x3", "pad"]
    residual: bool = True
    groups: int = 1
    group_width: int | None = None
    reduction: int | None = None
    stochastic_depth: float = 0.0
    dropout: float = 0.0
    zero_init: bool = False

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.widths) or not self.depths or min(self.depths) < 1:
            raise UserError(
                f"depths {self.depths} and widths {self.widths} must name the same number of "
                "stages, each with at least one block"
            )
        require_choice("block", self.block, _EXPANSION)
        require_choice("stem", self.stem, ("imagenet", "deep", "cifar"))
        require_choice("shortcut", self.shortcut, ("projection", "projection3x3", "pad"))
        for name in ("zero_init", "stochastic_depth"):
            if getattr(self, name) and not self.residual:
                raise UserError(f"{name} without shortcuts would make plain blocks output zero")
        require(
            self.groups == 1 or (self.group_width is not None and self.block != "basic"),
            f"groups={self.groups} needs group_width, and a bottleneck whose inner convolution "
            "can be split",
        )
        require(
            self.group_width is None or self.block != "basic",
            "group_width sets the inner width of a bottleneck; basic blocks have none",
        )
        require(self.reduction is None or self.reduction >= 1, "reduction must be at least 1")
        for name in ("stochastic_depth", "dropout"):
            rate = getattr(self, name)
            require(0 <= rate < 1, f"{name} is {rate:g}; it must be at least 0 and below 1")

    def inner(self, width: int) -> int:
        """Channels of the inner convolution in a stage of this width."""
        if self.group_width is None:
            return width
        return self.groups * self.group_width * width // self.widths[0]

    def out(self, width: int) -> int:
        """Channels that a stage of this width hands on."""
        return width * _EXPANSION[self.block]


class PadShortcut(nn.Module):
    """(N, C, H, W) -> (N, C', H / stride, W / stride): subsample, and pad channels with zeros.

    Source: arXiv:1512.03385, Section 3.3, option A. It has no parameters.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.extra = out_channels - in_channels
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.extra))


class Block(nn.Module):
    """(N, C, H, W) -> (N, C', H / stride, W / stride): act(branch(x) + shortcut(x)).

    A plain block has no shortcut and computes act(branch(x)).
    """

    def __init__(
        self, spec: Spec, in_channels: int, width: int, *, stride: int, drop: float
    ) -> None:
        super().__init__()
        self.branch = nn.Sequential(*_branch(spec, in_channels, width, stride))
        if spec.reduction is not None:
            channels = spec.out(width)
            reduced = max(1, channels // spec.reduction)
            self.branch.append(SqueezeExcitation(channels, reduced))
        if drop:
            self.branch.append(StochasticDepth(drop))
        self.shortcut = _shortcut(spec, in_channels, spec.out(width), stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        if self.shortcut is not None:
            out += self.shortcut(x)
        activated: Tensor = self.act(out)
        return activated


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        bias=False,
    )
    return conv, nn.BatchNorm2d(out_channels)


def _branch(spec: Spec, in_channels: int, width: int, stride: int) -> Iterator[nn.Module]:
    """The convolutions of a block, each with its norm; no activation after the last."""
    inner, out_channels = spec.inner(width), spec.out(width)
    if spec.block == "basic":
        yield from _conv_norm(in_channels, width, 3, stride)
        yield nn.ReLU(inplace=True)
        yield from _conv_norm(width, width, 3)
        return
    first = inner // 2 if spec.block == "senet" else inner
    yield from _conv_norm(in_channels, first, 1)
    yield nn.ReLU(inplace=True)
    yield from _conv_norm(first, inner, 3, stride, spec.groups)
    yield nn.ReLU(inplace=True)
    yield from _conv_norm(inner, out_channels, 1)


def _shortcut(spec: Spec, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if not spec.residual:
        return None
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if spec.shortcut == "pad":
        return PadShortcut(in_channels, out_channels, stride)
    kernel = 3 if spec.shortcut == "projection3x3" and stride > 1 else 1
    return nn.Sequential(*_conv_norm(in_channels, out_channels, kernel, stride))


def _stem(spec: Spec, in_channels: int) -> tuple[nn.Sequential, int]:
    """The stem and its output channels."""
    width = spec.widths[0]
    relu = nn.ReLU(inplace=True)
    if spec.stem == "cifar":
        return nn.Sequential(*_conv_norm(in_channels, width, 3), relu), width
    pool = nn.MaxPool2d(3, stride=2, padding=1)
    if spec.stem == "imagenet":
        return nn.Sequential(*_conv_norm(in_channels, width, 7, stride=2), relu, pool), width
    stem = nn.Sequential(*_conv_norm(in_channels, width, 3, stride=2), relu)
    stem.extend((*_conv_norm(width, width, 3), nn.ReLU(inplace=True)))
    stem.extend((*_conv_norm(width, 2 * width, 3), nn.ReLU(inplace=True), pool))
    return stem, 2 * width


class Network(ImageClassifier):
    """(N, C, H, W) images -> (N, K) logits; each stage after the first halves the resolution."""

    block_types = (Block,)

    def __init__(self, spec: Spec, *, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        self.spec = spec
        self.stem, channels = _stem(spec, in_channels)
        self.stages = nn.ModuleList()
        drops = iter(linear_decay(spec.stochastic_depth, sum(spec.depths)))
        for index, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
            stage = nn.Sequential()
            for block in range(depth):
                stride = 2 if index > 0 and block == 0 else 1
                stage.append(Block(spec, channels, width, stride=stride, drop=next(drops)))
                channels = spec.out(width)
            self.stages.append(stage)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        if spec.dropout:
            self.head.append(nn.Dropout(spec.dropout))
        self.head.append(nn.Linear(channels, num_classes))
        self._initialise()

    def _initialise(self) -> None:
        """Kaiming normal, fan-out (He et al. 2015, arXiv:1502.01852); norms start at one, zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, Block) and self.spec.zero_init:
                norms = [m for m in module.branch if isinstance(m, nn.BatchNorm2d)]
                nn.init.zeros_(norms[-1].weight)

    def key_maps(self) -> Mapping[str, Sequence[Row]]:
        """torchvision and timm name these networks alike; torchvision has none with gates."""
        rows = tuple(_rows(self.spec))
        return {"timm": rows} if self.spec.reduction else {"torchvision": rows, "timm": rows}


def _rows(spec: Spec) -> Iterator[Row]:
    """Our prefixes and those of torchvision and timm."""
    if spec.stem == "deep":
        yield from ((f"stem.{i}", f"conv1.{i}") for i in (0, 1, 3, 4, 6))
        yield "stem.7", "bn1"
    else:
        yield from (("stem.0", "conv1"), ("stem.1", "bn1"))
    convolutions = 2 if spec.block == "basic" else 3
    for stage, depth in enumerate(spec.depths):
        for block in range(depth):
            ours, theirs = f"stages.{stage}.{block}", f"layer{stage + 1}.{block}"
            for i in range(convolutions):
                yield f"{ours}.branch.{3 * i}", f"{theirs}.conv{i + 1}"
                yield f"{ours}.branch.{3 * i + 1}", f"{theirs}.bn{i + 1}"
            gates = f"{ours}.branch.{3 * convolutions - 1}"
            yield f"{gates}.reduce", f"{theirs}.se.fc1"
            yield f"{gates}.expand", f"{theirs}.se.fc2"
            yield f"{ours}.shortcut", f"{theirs}.downsample"
    yield f"head.{3 if spec.dropout else 2}", "fc"
