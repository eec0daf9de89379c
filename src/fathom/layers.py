"""Building blocks whose definition a paper fixed and that two or more families share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Scaled channels rounded to a multiple of divisor, never below 90 % of what was asked.

    Source: the code of MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), whose width multiplier
    rounds so; EfficientNet took it over.
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class SqueezeExcitation(nn.Module):
    """(N, C, H, W) -> (N, C, H, W): each channel times a gate in (0, 1) that all of them decide.

    Source: Hu et al. 2017, arXiv:1709.01507, Section 3. The two fully connected layers are written
    as 1x1 convolutions of the pooled map, as in torchvision and timm.
    """

    def __init__(self, channels: int, reduced: int, act: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, reduced, 1)
        self.act = act()
        self.expand = nn.Conv2d(reduced, channels, 1)
        self.gate = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        gates: Tensor = self.gate(self.expand(self.act(self.reduce(self.pool(x)))))
        return x * gates


@dataclass(frozen=True)
class ConvNorm:
    """How a family writes a convolution without bias, its norm and its activation.

    strided is the convolution where the stride is above 1, for families that pad it in their own
    way.
    """

    act: Callable[[], nn.Module]
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d
    strided: Callable[..., nn.Conv2d] = nn.Conv2d

    def linear(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> tuple[nn.Module, ...]:
        """(N, C, H, W) -> (N, C', H / stride, W / stride), rounded up: convolution and norm."""
        conv = (nn.Conv2d if stride == 1 else self.strided)(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2,
            groups=groups,
            bias=False,
        )
        return conv, self.norm(out_channels)

    def __call__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, groups: int = 1
    ) -> tuple[nn.Module, ...]:
        """The same, and the activation."""
        steps = self.linear(in_channels, out_channels, kernel, stride=stride, groups=groups)
        return *steps, self.act()


class InvertedResidual(nn.Module):
    """(N, C, H, W) -> (N, C', H / stride, W / stride): wide inside, narrow and linear outside.

    A 1x1 convolution to expansion times the channels (left out where that is 1), a depthwise
    convolution, what gate builds for those channels, and a 1x1 convolution without activation.
    The input is added where the shape stays. Source: Sandler et al. 2018, arXiv:1801.04381,
    Section 3 and Table 1; the gate is EfficientNet's (arXiv:1905.11946, Section 4).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        conv_norm: ConvNorm,
        expansion: int,
        kernel: int = 3,
        stride: int = 1,
        gate: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        inner = in_channels * expansion
        self.branch = nn.Sequential()
        if expansion != 1:
            self.branch.extend(conv_norm(in_channels, inner, 1))
        self.branch.extend(conv_norm(inner, inner, kernel, stride=stride, groups=inner))
        if gate is not None:
            self.branch.append(gate(inner))
        self.branch.extend(conv_norm.linear(inner, out_channels, 1))
        self.shortcut = nn.Identity() if stride == 1 and in_channels == out_channels else None

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.branch(x)
        if self.shortcut is not None:
            out += self.shortcut(x)
        return out


class LayerNorm2d(nn.LayerNorm):
    """(N, C, H, W) -> (N, C, H, W): layer norm over the channels of every pixel.

    Source: Ba et al. 2016, arXiv:1607.06450, over C alone as in ConvNeXt (Liu et al. 2022,
    arXiv:2201.03545).
    """

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
