"""Receptive fields against the support of the input's gradient."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import fathom
from fathom.costs import Field
from fathom.costs.count import last_field
from fathom.costs.trace import trace

QUICK = settings(max_examples=120, deadline=None, derandomize=True, database=None)


def field_of(model: nn.Module, side: int) -> Field:
    """The field of the model's last map."""
    found = last_field(trace(model, (1, 1, side, side)).records.values())
    assert found is not None
    return found


def support(
    model: nn.Module, side: int
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """First and last row and column that the middle pixel's gradient reaches, and that pixel."""
    images = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    out = model.double().eval()(images)
    row, column = out.shape[2] // 2, out.shape[3] // 2
    (gradient,) = torch.autograd.grad(out[0, :, row, column].sum(), images)
    seen = gradient[0, 0] != 0
    rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
    return (int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1])), (row, column)


def assert_seen(model: nn.Module, side: int) -> None:
    """The field predicts exactly the support of the middle pixel, clipped to the image."""
    predicted = field_of(model, side)
    *found, pixel = support(model, side)
    for axis in (0, 1):
        centre = predicted.offset[axis] + pixel[axis] * predicted.stride[axis]
        reach = (predicted.size[axis] - 1) / 2
        expected = (max(0, centre - reach), min(side - 1, centre + reach))
        assert found[axis] == expected


def positive(model: nn.Module) -> nn.Module:
    """Weights above zero, so that no gradient cancels."""
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    return model


LAYER = st.tuples(
    st.sampled_from(["conv", "average", "depthwise"]),
    st.integers(1, 5),  # kernel
    st.integers(1, 3),  # stride
    st.integers(0, 3),  # padding
    st.integers(1, 3),  # dilation
)


def layer(kind: str, kernel: int, stride: int, padding: int, dilation: int) -> nn.Module:
    if kind == "average":
        return nn.AvgPool2d(kernel, stride, min(padding, kernel // 2))
    return nn.Conv2d(
        2, 2, kernel, stride, padding, dilation, groups=2 if kind == "depthwise" else 1
    )


@QUICK
@given(st.lists(LAYER, min_size=1, max_size=5))
def test_stacks_of_any_layers(rows: list[tuple[str, int, int, int, int]]) -> None:
    model = positive(nn.Sequential(nn.Conv2d(1, 2, 1), *(layer(*row) for row in rows)))
    reach = 1 + sum((k - 1) * d for _, k, _, _, d in rows) * math.prod(s for _, _, s, _, _ in rows)
    assume(reach < 250)
    assert_seen(model, 2 * reach + 41)


class Branches(nn.Module):
    """Two rows of layers of the same stride, added or put side by side."""

    def __init__(self, rows: list[nn.Sequential], cat: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 1)
        self.rows = nn.ModuleList(rows)
        self.cat = cat

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        outs = [row(x) for row in self.rows]
        return torch.cat(outs, 1) if self.cat else torch.stack(outs).sum(0)


@QUICK
@given(
    st.lists(st.lists(st.sampled_from([1, 3, 5, 7]), max_size=3), min_size=1, max_size=3),
    st.integers(1, 3),
    st.booleans(),
)
def test_branches_see_the_union(kernels: list[list[int]], stride: int, cat: bool) -> None:
    rows = []
    for row in kernels:
        convs = [nn.Conv2d(2, 2, k, padding=k // 2, groups=2) for k in row]
        rows.append(nn.Sequential(*convs, nn.Conv2d(2, 2, 3, stride, 1)))
    model = Branches(rows, cat)
    positive(model)
    if cat:
        assert_seen(model, 61)
    else:
        predicted = 2 * (1 + max(sum(k // 2 for k in row) for row in kernels)) + 1
        assert field_of(model, 61).size == (predicted, predicted)


def test_three_3x3_see_7x7_and_more_see_2l_plus_1() -> None:
    for count in (1, 2, 3, 7):
        stack = nn.Sequential(nn.Conv2d(1, 1, 3), *(nn.Conv2d(1, 1, 3) for _ in range(count - 1)))
        assert field_of(stack, 40).size == (2 * count + 1, 2 * count + 1)


def test_global_pooling_lets_all_see_the_same() -> None:
    found = trace(fathom.create_model("cifar_resnet20"), (1, 3, 32, 32)).records["head.0"].sides
    assert found is not None
    assert all(side.dim is None for side in found)
    assert all(side.lo <= 0 and side.hi >= 31 for side in found)


@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 195), ("vgg16", 212), ("resnet50", 427), ("mobilenet_v1", 315)],
)
def test_known_sizes(name: str, size: int) -> None:
    """As in Araujo et al. 2019 (Distill), Table 1; ResNet-50 there has its strides at the ends of
    its stages and 483, here as torchvision has them."""
    with torch.device("meta"):
        model = fathom.create_model(name)
    found = fathom.cost(model, image_size=224).receptive_field
    assert found is not None
    assert found.size == (size, size)


@pytest.mark.parametrize(
    "name",
    ["cifar_resnet20", "cifar_plain20", "resnet18", "cifar_densenet40_k12", "googlenet_2014"],
)
def test_networks_of_the_zoo(name: str) -> None:
    """The gradient of the last map's middle reaches just the field, inside the image."""
    side = {"resnet18": 480, "googlenet_2014": 736}.get(name, 224)
    model = fathom.create_model(name, in_channels=1)
    assert_body_sees(smoothed(model), side)


def smoothed(model: fathom.ImageClassifier) -> fathom.ImageClassifier:
    """Positive everywhere, and max pooling replaced by average pooling, which ignores no pixel."""
    positive(model)
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(
                    child.kernel_size, child.stride, child.padding, ceil_mode=child.ceil_mode
                )
                setattr(module, name, pool)
            if isinstance(child, nn.LocalResponseNorm):
                setattr(module, name, nn.Identity())
    return model


class Body(nn.Module):
    """A network without its head."""

    def __init__(self, model: fathom.ImageClassifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.features(images)[-1]


def assert_body_sees(model: fathom.ImageClassifier, side: int) -> None:
    assert_seen(Body(model), side)


class Layout(nn.Module):
    """Channels last and back, a slice and a pad, as ConvNeXt and shortcuts do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.mix = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).permute(0, 2, 3, 1)
        x = self.mix(self.norm(x)).permute(0, 3, 1, 2)
        x = nn.functional.pad(x[:, :, ::2, 1::2], (1, 0, 0, 0))
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def test_layouts_slices_and_pads_keep_track() -> None:
    found = field_of(Layout(), 32)
    assert found.size == (3, 3)
    assert found.stride == (2.0, 2.0)
    assert found.offset == (0.0, -1.0)
