"""Cells of the pyramid lie where their pixels are, and bars add up to designs."""

from __future__ import annotations

import pytest

from fathom.costs.designs import conv_designs
from fathom.costs.stacks import Window
from fathom.figures.convolution import designs, pyramid, seen

STRIDED = (Window(3, 2), Window(3, dilation=2))


def test_cells_are_as_wide_as_their_pixels_stand_apart() -> None:
    bars = [trace for trace in pyramid(STRIDED).data if trace.type == "bar"]
    assert [set(bar.x) for bar in bars] == [{1}, {2}, {2}]
    for bar in bars:
        middles = [base + width / 2 for base, width in zip(bar.base, bar.x, strict=True)]
        assert middles == pytest.approx([place * bar.x[0] for place, _ in bar.customdata])
    assert [len(bar.x) for bar in bars] == [11, 5, 1]


def test_slopes_follow_the_ends_of_the_rows() -> None:
    left, right, *bars = pyramid(STRIDED).data
    assert list(left.x) == [bar.base[0] for bar in bars] == [-5.5, -5.0, -1.0]
    assert list(right.x) == [bar.base[-1] + bar.x[-1] for bar in bars] == [5.5, 5.0, 1.0]


def test_what_is_never_read_is_hollow_and_most_ways_are_darkest() -> None:
    (image,) = (t for t in pyramid([Window(3, dilation=2)] * 2).data if len(t.x) == 9)
    shade = {0: "rgba(47, 127, 193, 0.000)", 3: "rgba(47, 127, 193, 0.900)"}
    for (_, ways), colour in zip(image.customdata, image.marker.color, strict=True):
        assert (colour == shade[0]) == (ways == 0)
        assert (colour == shade[3]) == (ways == 3)


def test_maps_are_named_from_the_image_up() -> None:
    ticks = pyramid(STRIDED).layout.yaxis
    assert list(ticks.ticktext) == ["image", "1: 3x3 /2", "2: 3x3, dilated 2"]


def test_squares_are_the_fields_of_the_layers_each_once() -> None:
    figure = seen([Window(3), Window(1), Window(3)])
    assert [(s.x0, s.x1, s.line.dash) for s in figure.layout.shapes] == [
        *((-0.5, 0.5, "solid"), (-1.5, 1.5, "dot")),
        (-2.5, 2.5, "dot"),
    ]
    assert figure.data[0].z.max() == 100
    assert figure.data[0].z[0][0] == pytest.approx(100 / 9)


def test_the_parts_of_a_bar_add_up_to_the_design() -> None:
    found = conv_designs(32, 32, kernel=3, size=8, bottleneck=8, separable=True)
    bars = designs({design.name: design for design in found}).data
    assert list(bars[0].y) == [design.name for design in found]
    for place, design in enumerate(found):
        assert sum(bar.x[place] or 0 for bar in bars) == pytest.approx(design.macs / 1e6)
        told = [bar.customdata[place] for bar in bars if bar.customdata[place]]
        assert told == [step.text for step in design.steps]
