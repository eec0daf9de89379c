"""Rows of layers against the modules they make, and against a slow literal count of ways."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fathom.costs import cost
from fathom.costs.stacks import Window, alternatives, make_stack, paths, pitches
from fathom.errors import UserError

kernels, strides = st.sampled_from([1, 3, 5]), st.integers(1, 2)
windows = st.builds(Window, kernels, strides, st.integers(1, 2)) | st.builds(
    Window, kernels, strides, pool=st.just(True)
)
rows = st.lists(windows, min_size=1, max_size=3)
properties = settings(deadline=None, derandomize=True, database=None, max_examples=25)


def summed(window: Window) -> nn.Module:
    """The layer's real module with all weights 1; a pooling adds up what it reads."""
    (module,) = make_stack([Window(window.kernel, window.stride, window.dilation)], 1)
    nn.init.ones_(module.weight)  # type: ignore[arg-type]
    return module.double()


def gradient(row: list[Window]) -> Tensor:
    """Of the middle output pixel, at every pixel of the image: the ways between them."""
    field, total = len(paths(row)[0]), pitches(row)[-1]
    middle = -(-field // total) * total
    images = torch.zeros(1, 1, 2 * middle + 1, 2 * middle + 1, dtype=torch.double)
    images.requires_grad_()
    out = nn.Sequential(*map(summed, row))(images)
    place = middle // total
    (found,) = torch.autograd.grad(out[0, 0, place, place], images)
    return found[0, 0, :, :]


@properties
@given(rows)
def test_ways_are_the_gradient_of_modules_whose_weights_are_one(row: list[Window]) -> None:
    ways = paths(row)[0]
    found = gradient(row)
    middle = len(found) // 2
    expected = torch.zeros_like(found)
    for (y, down), (x, across) in product(ways.items(), ways.items()):
        expected[middle + y, middle + x] = down * across
    assert torch.equal(found, expected)


@properties
@given(rows)
def test_fields_and_pitches_are_those_that_the_counter_finds(row: list[Window]) -> None:
    """From the image up to every layer, and from the output down to every map."""
    first = Window(1)  # sees what it stands on; poolings alone have no weights to train
    _, *layers = cost(make_stack([first, *row], 2), image_size=64).layers
    assert len(layers) == len(row)
    for number, layer in enumerate(layers):
        assert layer.field is not None
        assert layer.field.size[0] == len(paths(row[: number + 1])[0])
        assert layer.field.stride[0] == pitches(row)[number + 1]
        assert layer.field.offset == (0.0, 0.0), "a pixel stands over the middle of its field"
    for level, ways in enumerate(paths(row)[:-1]):
        below = cost(make_stack([first, *row[level:]], 2), image_size=64).receptive_field
        assert below is not None
        assert below.size[0] == len(ways)
    assert paths(row)[-1] == {0: 1}


def test_three_small_ones_see_what_a_large_one_sees() -> None:
    """27 and 49 times the channels squared (arXiv:1409.1556, Section 2.3)."""
    row = [Window(3)] * 3
    (name, single), *others = alternatives(row).items()
    assert (name, others) == ("one layer of 7x7", [])
    assert paths(single)[0] == dict.fromkeys(range(-3, 4), 1)
    assert list(paths(row)[0].values()) == [1, 3, 6, 7, 6, 3, 1]
    found = [cost(make_stack(r, 8), image_size=9) for r in (row, single)]
    assert [c.params for c in found] == [27 * 64, 49 * 64]
    assert [c.macs for c in found] == [27 * 64 * 81, 49 * 64 * 81]


@properties
@given(rows)
def test_alternatives_see_as_much_and_give_a_map_of_the_same_size(row: list[Window]) -> None:
    for name, other in alternatives(row).items():
        assert list(other) != row, name
        assert paths(other)[0].keys() == paths(row)[0].keys()
        images = torch.zeros(1, 1, 32, 32, device="meta")
        both = [make_stack(r, 1).to("meta")(images).shape for r in (row, other)]
        assert both[0] == both[1], name


def test_dilations_that_share_a_factor_leave_holes() -> None:
    assert list(paths([Window(3, dilation=2)] * 2)[0].values()) == [1, 0, 2, 0, 3, 0, 2, 0, 1]
    assert 0 not in paths([Window(3, dilation=d) for d in (1, 2, 4)])[0].values()


def test_layers_are_named_as_they_are() -> None:
    found = [Window(7, 2), Window(3, 2, pool=True), Window(3, dilation=4), Window(1)]
    assert [w.text for w in found] == ["7x7 /2", "3x3 pool /2", "3x3, dilated 4", "1x1"]
    assert [name for w in found for name in alternatives([w])] == [
        "one layer of 3x3 /2",  # of the pooling; the first is itself such a layer
        *("one layer of 9x9", "4 layers of 3x3"),
    ]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kernel": 4}, "kernel is 4; it must be odd"),
        ({"kernel": -1}, "kernel is -1"),
        ({"kernel": 3, "stride": 0}, "stride is 0"),
        ({"kernel": 3, "dilation": 0}, "dilation is 0"),
        ({"kernel": 3, "dilation": 2, "pool": True}, "a pooling is not dilated"),
    ],
)
def test_impossible_layers_are_refused(setting: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Window(**setting)  # type: ignore[arg-type]
