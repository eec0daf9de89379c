"""Filters, maps, and the pixels that a unit really sees."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fathom.costs import cost
from fathom.errors import UserError
from fathom.look.maps import (
    feature_maps,
    first_filters,
    passes_within,
    peak,
    seen_by,
    sees_light,
    stage_fields,
    strongest,
)
from fathom.models.registry import build_model
from tests.look.tiny import SIDE, Tiny, images, untouched


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("cifar_resnet20", (16, 3, 3, 3)),
        ("resnet18", (64, 3, 7, 7)),
        ("efficientnet_lite0", (32, 3, 3, 3)),
    ],
)
def test_first_filters_are_those_that_read_the_image(name: str, shape: tuple[int, ...]) -> None:
    model = build_model(name, num_classes=2)
    filters = first_filters(model)
    assert filters.shape == shape
    convs = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    assert any(torch.equal(filters, m.weight) for m in convs if m.in_channels == 3)


def test_without_a_stem_the_first_stage_has_them() -> None:
    model = Tiny()
    first = model.convs[0]
    model.stem, model.stages[0] = nn.Identity(), nn.Sequential(first)
    assert torch.equal(first_filters(model), first.weight.detach())


def test_a_network_without_convolutions_has_no_filters() -> None:
    model = Tiny()
    model.stem, model.stages = nn.Identity(), nn.ModuleList()
    with pytest.raises(UserError, match="no convolution"):
        first_filters(model)


def test_light_is_what_the_colours_share() -> None:
    grey = torch.randn(1, 1, 3, 3).expand(1, 3, 3, 3)
    colour = torch.zeros(1, 3, 3, 3)
    colour[0, 0], colour[0, 2] = 1, -1
    one = torch.zeros(1, 3, 3, 3)
    one[0, 1] = 1
    shares = sees_light(torch.cat([grey, colour, one, torch.zeros(1, 3, 3, 3)]))
    torch.testing.assert_close(shares, torch.tensor([1, 0, 1 / 3, 0]))


def test_maps_are_those_of_the_network_in_evaluation() -> None:
    model = build_model("cifar_resnet20", num_classes=3).train()
    before = untouched(model)
    image = torch.randn(2, 3, 32, 32)
    found = feature_maps(model, image)
    assert untouched(model) == before
    for mine, theirs in zip(found, model.eval().features(image), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_strongest_channels_and_peaks() -> None:
    maps = torch.tensor([[[1.0, 2.0]], [[-1.0, 5.0]], [[3.0, 0.0]]])
    assert strongest(maps, 2) == [1, 2]
    assert strongest(maps, 9) == [1, 2, 0]
    assert peak(maps[1]) == (5.0, (0, 1))


@pytest.mark.parametrize("stage", [0, 1])
def test_only_the_pixels_in_the_box_move_a_unit(stage: int) -> None:
    """The receptive field of the graph is that of the gradient, for units in the middle and at the
    borders."""
    model = Tiny()
    for module in model.modules():  # all weights 1: no signal cancels
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
    image = images().abs().requires_grad_()
    field = stage_fields(model, SIDE)[stage]
    maps = model.features(image)[stage]
    for place in [(0, 0), (1, 2), (maps.shape[2] - 1, maps.shape[3] - 1)]:
        top, left, bottom, right = seen_by(field, place, SIDE)
        (gradient,) = torch.autograd.grad(maps[0, 0, place[0], place[1]], image, retain_graph=True)
        touched = gradient[0].abs().sum(0).nonzero()
        low, high = touched.amin(0).tolist(), touched.amax(0).tolist()
        # Of each window of a pooling one pixel alone gets the gradient.
        assert top <= low[0] <= top + 1
        assert left <= low[1] <= left + 1
        assert bottom - 2 <= high[0] <= bottom - 1
        assert right - 2 <= high[1] <= right - 1


def test_fields_grow_from_stage_to_stage() -> None:
    model = build_model("efficientnet_b0", num_classes=2)  # its gates see the whole image
    sizes = [field.size[0] for field in stage_fields(model, 224)]
    assert sizes == sorted(sizes)
    assert len(sizes) == len(model.stages)
    plain = build_model("resnet18", num_classes=2)
    last = cost(plain, image_size=224).receptive_field
    assert stage_fields(plain, 224)[-1] == last


def test_passes_fit_into_their_cost() -> None:
    model = build_model("cifar_resnet20", num_classes=10)
    macs = cost(model, image_size=32).macs
    assert passes_within(model, 32, 10 * macs) == 10
    assert passes_within(model, 32, 10 * macs - 1) == 9
