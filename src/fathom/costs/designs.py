"""What one convolution would cost in other designs: reduced first, grouped, separable."""

from __future__ import annotations

from dataclasses import dataclass

from fathom.errors import require


@dataclass(frozen=True)
class Step:
    """One convolution: in_channels to out_channels, weights and multiply-adds, no bias."""

    text: str
    params: int
    macs: int


@dataclass(frozen=True)
class Design:
    """One way to get from in_channels to out_channels, as convolutions one after another."""

    name: str
    steps: tuple[Step, ...]

    @property
    def params(self) -> int:
        """Weights of all steps."""
        return sum(step.params for step in self.steps)

    @property
    def macs(self) -> int:
        """Multiply-adds of all steps for one image."""
        return sum(step.macs for step in self.steps)

    @property
    def flops(self) -> int:
        """Two operations for every multiply-add."""
        return 2 * self.macs


def conv_designs(
    in_channels: int,
    out_channels: int,
    *,
    kernel: int,
    size: int,
    reduce: int | None = None,
    bottleneck: int | None = None,
    groups: int | None = None,
    separable: bool = False,
) -> list[Design]:
    """Designs of a kernel x kernel convolution on a (in_channels, size, size) map, plain one first.

    Stride 1, padded to keep the size, no biases. reduce: a 1x1 convolution to so many channels goes
    first (Szegedy et al. 2014, arXiv:1409.4842, Section 4). bottleneck: 1x1 convolutions to so many
    channels before it and back behind it (He et al. 2015, arXiv:1512.03385, Figure 5). groups: the
    convolution is split (Xie et al. 2016, arXiv:1611.05431). separable: one filter a channel, then
    1x1 (Howard et al. 2017, arXiv:1704.04861, Section 3.1).

    Raises UserError for figures below 1 and for groups that do not divide the channels.
    """
    figures: dict[str, int | None] = {
        "in": in_channels,
        "out": out_channels,
        "kernel": kernel,
        "size": size,
    }
    figures |= {"reduce": reduce, "bottleneck": bottleneck, "groups": groups}
    for name, value in figures.items():
        require(value is None or value >= 1, f"{name} is {value}; it must be at least 1")
    pixels = size * size

    def conv(inputs: int, outputs: int, side: int, split: int = 1) -> Step:
        weights = side * side * inputs // split * outputs
        kind = f"{side}x{side}" + (f" in {split} groups" if split > 1 else "")
        return Step(f"{kind}, {inputs} to {outputs}", weights, weights * pixels)

    designs = [Design("plain", (conv(in_channels, out_channels, kernel),))]
    if reduce is not None:
        first, second = conv(in_channels, reduce, 1), conv(reduce, out_channels, kernel)
        designs.append(Design(f"reduced to {reduce}", (first, second)))
    if bottleneck is not None:
        into, out = conv(in_channels, bottleneck, 1), conv(bottleneck, out_channels, 1)
        middle = conv(bottleneck, bottleneck, kernel)
        designs.append(Design(f"bottleneck of {bottleneck}", (into, middle, out)))
    if groups is not None:
        require(
            in_channels % groups == 0 and out_channels % groups == 0,
            f"{groups} groups do not divide {in_channels} and {out_channels} channels",
        )
        split = conv(in_channels, out_channels, kernel, groups)
        designs.append(Design(f"{groups} groups", (split,)))
    if separable:
        depthwise = conv(in_channels, in_channels, kernel, in_channels)
        designs.append(Design("separable", (depthwise, conv(in_channels, out_channels, 1))))
    return designs
