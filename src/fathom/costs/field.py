"""Receptive fields: which pixels of the image a pixel of a map can see, through any graph.

Along one side of the image, pixel i of a map sees the pixels from lo + i * stride to
hi + i * stride, borders and padding included as if the image went on. Convolutions and pooling
widen that interval, branches that meet take the union, and whatever mixes a whole side (global
pooling, flattening, attention) leaves one interval for all. Sources: Araujo, Norris, Sim 2019,
"Computing Receptive Fields of Convolutional Neural Networks" (Distill), for the recurrences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor


@dataclass(frozen=True)
class Side:
    """The field along one side of the image; dim is the map's dimension that runs along it.

    dim is None where all of the map sees the same interval.
    """

    lo: Fraction
    hi: Fraction
    stride: Fraction
    dim: int | None

    def window(self, kernel: Fraction | int, stride: Fraction | int, padding: int) -> Side:
        """Of a map whose pixel i reads pixels i * stride - padding to kernel - 1 beyond."""
        start = self.lo - padding * self.stride
        end = self.hi + (kernel - 1 - padding) * self.stride
        return replace(self, lo=start, hi=end, stride=self.stride * stride)

    def collapsed(self, positions: int) -> Side:
        """Of whatever reads this many pixels of the map, all of them, from the first on."""
        if self.dim is None:
            return self
        return Side(self.lo, self.hi + (positions - 1) * self.stride, Fraction(1), None)

    def shifted(self, pixels: int) -> Side:
        """Of a map that begins this many pixels later."""
        return replace(self, lo=self.lo + pixels * self.stride, hi=self.hi + pixels * self.stride)


@dataclass(frozen=True)
class Field:
    """What one pixel of a map sees: height and width each.

    size: pixels of the image, unclipped. stride: pixels of the image between two neighbours of the
    map, 0 where all of the map sees the same. offset: place of the centre of what pixel (0, 0)
    sees; 0 is the centre of the image's first pixel.
    """

    size: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]

    @property
    def alike(self) -> bool:
        """Whether every pixel of the map sees the same, as after global pooling."""
        return self.stride == (0.0, 0.0)


Sides = tuple[Side, Side]


def whole_image(dims: tuple[int, int]) -> Sides:
    """The sides of the image itself: every pixel sees itself."""
    zero, one = Fraction(0), Fraction(1)
    return Side(zero, zero, one, dims[0]), Side(zero, zero, one, dims[1])


def to_field(sides: Sides) -> Field:
    """For people and JSON."""
    sizes = tuple(floor(side.hi) - ceil(side.lo) + 1 for side in sides)
    strides = tuple(0.0 if side.dim is None else float(side.stride) for side in sides)
    centres = tuple(float(side.lo + side.hi) / 2 for side in sides)
    return Field((sizes[0], sizes[1]), (strides[0], strides[1]), (centres[0], centres[1]))


def union(first: Side, second: Side, sizes: tuple[int, int]) -> Side:
    """Of a map that reads both; sizes are the pixels of each along its side.

    Maps of another stride, or on another dimension, are taken as seen whole.
    """
    same = first.dim == second.dim and first.stride == second.stride
    if not same and first.dim is not None and second.dim is not None:
        first, second = first.collapsed(sizes[0]), second.collapsed(sizes[1])
    if first.dim is None and second.dim is not None:
        return union(second, first, (sizes[1], sizes[0]))
    if first.dim is not None and second.dim is None:
        # One interval for all beside one for each: what every pixel sees is at least the former.
        first = first.collapsed(sizes[0])
    return replace(first, lo=min(first.lo, second.lo), hi=max(first.hi, second.hi))
