"""Rows of convolutions, and which pixels of every map below one pixel of the last one reads.

Simonyan, Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition"
(arXiv:1409.1556), Section 2.3: three 3x3 convolutions see what one 7x7 sees, with fewer weights.
Luo, Li, Urtasun, Zemel 2016 (arXiv:1701.04128), Section 2: with equal weights a pixel counts by the
number of ways that lead through it, which are most in the middle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import nn

from fathom.errors import require


@dataclass(frozen=True)
class Window:
    """One layer that reads kernel x kernel pixels: a convolution, or a max pooling.

    Padded so that a stride of 1 keeps the map's size; kernel is therefore odd.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    pool: bool = False

    def __post_init__(self) -> None:
        require(
            self.kernel >= 1 and self.kernel % 2 == 1,
            f"kernel is {self.kernel}; it must be odd and at least 1, to be centred on a pixel",
        )
        require(self.stride >= 1, f"stride is {self.stride}; it must be at least 1")
        require(self.dilation >= 1, f"dilation is {self.dilation}; it must be at least 1")
        require(self.dilation == 1 or not self.pool, "a pooling is not dilated; use dilation=1")

    @property
    def text(self) -> str:
        """As in "7x7 /2" or "3x3, dilated 2"."""
        kind = f"{self.kernel}x{self.kernel}" + (" pool" if self.pool else "")
        stride = f" /{self.stride}" if self.stride > 1 else ""
        return kind + stride + (f", dilated {self.dilation}" if self.dilation > 1 else "")

    @property
    def padding(self) -> int:
        """Pixels on each side."""
        return self.dilation * (self.kernel - 1) // 2


def make_stack(windows: Sequence[Window], channels: int) -> nn.Sequential:
    """(N, channels, H, W) -> (N, channels, H', W'): these layers in a row, without biases."""
    return nn.Sequential(*(_module(window, channels) for window in windows))


def _module(window: Window, channels: int) -> nn.Module:
    if window.pool:
        return nn.MaxPool2d(window.kernel, window.stride, window.padding)
    return nn.Conv2d(
        channels,
        channels,
        window.kernel,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        bias=False,
    )


def paths(windows: Sequence[Window]) -> list[Mapping[int, int]]:
    """For each map from the image on, place -> ways from it to pixel 0 of the last map.

    Along one side; the ways in the plane are the product of both sides'. Places count in pixels of
    that map, from the one over which the output stands. What is within the field and is never read,
    as between the taps of dilated kernels, has 0 ways.
    """
    levels: list[Mapping[int, int]] = [{0: 1}]
    for window in reversed(windows):
        below: Counter[int] = Counter()
        for place, ways in levels[0].items():
            for tap in range(window.kernel):
                below[place * window.stride + tap * window.dilation - window.padding] += ways
        levels.insert(0, {place: below[place] for place in range(min(below), max(below) + 1)})
    return levels


def pitches(windows: Sequence[Window]) -> list[int]:
    """For each map from the image on, pixels of the image from one of its pixels to the next."""
    strides = [window.stride for window in windows]
    return [prod(strides[:level]) for level in range(len(windows) + 1)]


def alternatives(windows: Sequence[Window]) -> dict[str, Sequence[Window]]:
    """Other rows of layers with the same field and the same output size, by name.

    One layer with the whole field for its kernel; and 3x3 convolutions alone, where there is no
    stride to place among them.
    """
    field, stride = len(paths(windows)[0]), prod(window.stride for window in windows)
    single = Window(field, stride)
    found: dict[str, Sequence[Window]] = {f"one layer of {single.text}": [single]}
    if stride == 1 and field > 1:
        count = (field - 1) // 2
        found[f"{count} layers of 3x3" if count > 1 else "one layer of 3x3"] = [Window(3)] * count
    return {name: row for name, row in found.items() if list(row) != list(windows)}
