"""Residual networks, and their plain twins without the shortcut.

He, Zhang, Ren, Sun 2015, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385):
a block computes F(x) + x instead of F(x), so that the identity is what a block does by doing
nothing. `residual=False` takes the shortcut away and leaves everything else: the plain networks of
the paper's Figures 4 and 6, whose training error rises with depth.

Switches (Spec):
  block      "basic": two 3x3 convolutions; "bottleneck": 1x1, 3x3, 1x1 with four times the channels
  stem       "imagenet": 7x7 stride 2 and 3x3 max pooling; "cifar": one 3x3 convolution
  shortcut   where shapes change: "projection" (option B) or "pad" (option A, no parameters)
  zero_init  the last norm of each branch starts at zero, so that each block starts as the identity
             (Goyal et al. 2017, arXiv:1706.02677, Section 5.1)

Departures from the paper: the stride of a bottleneck is on its 3x3 convolution, not on the first
1x1 (as in torchvision); weights are initialised with fan-out, not fan-in (as
in torchvision; the two differ only where channels change).
"""

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from fathom.errors import UserError
from fathom.models.base import ImageClassifier

_EXPANSION = {"basic": 1, "bottleneck": 4}


@dataclass(frozen=True)
class Spec:
    """The switches of the family; a variant is one row of them in `variants/resnet.py`."""

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    widths: tuple[int, ...]
    stem: Literal["imagenet", "cifar"]
    shortcut: Literal["projection", "pad"]
    residual: bool
    zero_init: bool = False

    def __post_init__(self) -> None:
        if len(self.depths) != len(self.widths) or not self.depths or min(self.depths) < 1:
            raise UserError(
                f"depths {self.depths} and widths {self.widths} must name the same number of "
                "stages, each with at least one block"
            )
        for name, value, known in (
            ("block", self.block, ("basic", "bottleneck")),
            ("stem", self.stem, ("imagenet", "cifar")),
            ("shortcut", self.shortcut, ("projection", "pad")),
        ):
            if value not in known:
                raise UserError(f"{name} {value!r} is none of {', '.join(known)}")
        if self.zero_init and not self.residual:
            raise UserError("zero_init without shortcuts would make every plain block output zero")


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )


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

    def __init__(self, spec: Spec, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * _EXPANSION[spec.block]
        self.branch = _branch(spec, in_channels, width, stride)
        self.shortcut = _shortcut(spec, in_channels, out_channels, stride)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.branch(x)
        if self.shortcut is not None:
            out += self.shortcut(x)
        activated: Tensor = self.act(out)
        return activated


def _branch(spec: Spec, in_channels: int, width: int, stride: int) -> nn.Sequential:
    """The convolutions of a block, each with its norm; no activation after the last."""
    if spec.block == "basic":
        return nn.Sequential(
            _conv(in_channels, width, 3, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _conv(width, width, 3),
            nn.BatchNorm2d(width),
        )
    out_channels = width * _EXPANSION[spec.block]
    return nn.Sequential(
        _conv(in_channels, width, 1),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv(width, width, 3, stride),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        _conv(width, out_channels, 1),
        nn.BatchNorm2d(out_channels),
    )


def _shortcut(spec: Spec, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
    if not spec.residual:
        return None
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    if spec.shortcut == "pad":
        return PadShortcut(in_channels, out_channels, stride)
    return nn.Sequential(_conv(in_channels, out_channels, 1, stride), nn.BatchNorm2d(out_channels))


def _stem(spec: Spec, in_channels: int) -> nn.Sequential:
    width = spec.widths[0]
    if spec.stem == "cifar":
        return nn.Sequential(
            _conv(in_channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
    return nn.Sequential(
        _conv(in_channels, width, 7, stride=2),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    )


class Network(ImageClassifier):
    """(N, C, H, W) images -> (N, K) logits; each stage after the first halves the resolution."""

    def __init__(self, spec: Spec, *, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes=num_classes, in_channels=in_channels)
        self.stem = _stem(spec, in_channels)
        self.stages = nn.ModuleList()
        channels = spec.widths[0]
        for index, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
            stage = nn.Sequential()
            for block in range(depth):
                stride = 2 if index > 0 and block == 0 else 1
                stage.append(Block(spec, channels, width, stride))
                channels = width * _EXPANSION[spec.block]
            self.stages.append(stage)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
        )
        self._initialise(spec)

    def _initialise(self, spec: Spec) -> None:
        """Kaiming normal, fan-out (He et al. 2015, arXiv:1502.01852); norms start at one, zero."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if spec.zero_init:
            for module in self.modules():
                if isinstance(module, Block):
                    last = module.branch[-1]
                    assert isinstance(last, nn.BatchNorm2d)
                    nn.init.zeros_(last.weight)
