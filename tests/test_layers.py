"""Shared layers against literal versions of their papers' formulas."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models._utils import _make_divisible as torchvision_make_divisible

from fathom.layers import (
    ConvNorm,
    InvertedResidual,
    LayerNorm2d,
    SqueezeExcitation,
    make_divisible,
)


@pytest.mark.parametrize("divisor", [4, 8])
def test_scaled_channels_are_multiples_within_ten_percent(divisor: int) -> None:
    for tenths in range(5, 20_000, 7):
        channels = tenths / 10
        rounded = make_divisible(channels, divisor)
        assert rounded % divisor == 0
        assert rounded >= 0.9 * channels
        assert rounded >= divisor
        assert rounded == torchvision_make_divisible(channels, divisor)


def test_squeeze_and_excitation_is_two_layers_and_a_gate() -> None:
    """arXiv:1709.01507, Equations 2 to 4."""
    torch.manual_seed(0)
    layer = SqueezeExcitation(12, 3)
    x = torch.randn(2, 12, 5, 7)
    z = x.mean((2, 3))
    state = layer.state_dict()
    hidden = (z @ state["reduce.weight"][:, :, 0, 0].T + state["reduce.bias"]).relu()
    gates = torch.sigmoid(hidden @ state["expand.weight"][:, :, 0, 0].T + state["expand.bias"])
    torch.testing.assert_close(layer(x), x * gates[:, :, None, None])
    assert isinstance(SqueezeExcitation(12, 3, act=nn.SiLU).act, nn.SiLU)


def test_layer_norm_is_over_the_channels_of_a_pixel() -> None:
    """arXiv:1607.06450, Equation 3."""
    torch.manual_seed(0)
    layer = LayerNorm2d(6, eps=1e-6)
    nn.init.normal_(layer.weight)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 6, 3, 4)
    mean, variance = x.mean(1, keepdim=True), x.var(1, keepdim=True, unbiased=False)
    shape = (1, 6, 1, 1)
    expected = (x - mean) / (variance + 1e-6).sqrt() * layer.weight.view(shape)
    torch.testing.assert_close(layer(x), expected + layer.bias.view(shape))


class Marked(nn.Conv2d):
    """A convolution to be told apart."""


def test_conv_norm_writes_convolution_norm_activation() -> None:
    write = ConvNorm(act=nn.SiLU, strided=Marked)
    conv, norm, act = write(4, 8, 5)
    assert isinstance(conv, nn.Conv2d)
    assert not isinstance(conv, Marked)
    assert conv.padding == (2, 2)
    assert conv.bias is None
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(act, nn.SiLU)
    linear = write.linear(8, 8, 3, stride=2, groups=8)
    assert [type(module) for module in linear] == [Marked, nn.BatchNorm2d]
    assert nn.Sequential(*linear)(torch.zeros(1, 8, 9, 8)).shape == (1, 8, 5, 4)


WRITE = ConvNorm(act=nn.ReLU6)


@pytest.mark.parametrize(("out_channels", "stride"), [(4, 1), (6, 1), (4, 2)])
def test_an_inverted_residual_is_its_formula(out_channels: int, stride: int) -> None:
    """arXiv:1801.04381, Table 1, and Figure 4d: added where neither shape nor stride changes."""
    torch.manual_seed(0)
    block = InvertedResidual(4, out_channels, conv_norm=WRITE, expansion=3, stride=stride).eval()
    x = torch.randn(2, 4, 6, 6)
    expand, depthwise, project = (m.weight for m in block.branch if isinstance(m, nn.Conv2d))
    scale = (1 + 1e-5) ** -0.5  # of a fresh batch norm in evaluation
    out = (F.conv2d(x, expand) * scale).clamp(0, 6)
    out = (F.conv2d(out, depthwise, stride=stride, padding=1, groups=12) * scale).clamp(0, 6)
    out = F.conv2d(out, project) * scale
    if out_channels == 4 and stride == 1:
        out = out + x
    torch.testing.assert_close(block(x), out)


def test_an_inverted_residual_expands_only_where_told_and_gates_what_is_expanded() -> None:
    narrow = InvertedResidual(4, 4, conv_norm=WRITE, expansion=1)
    assert [type(m) for m in narrow.branch] == [
        nn.Conv2d,
        nn.BatchNorm2d,
        nn.ReLU6,
        nn.Conv2d,
        nn.BatchNorm2d,
    ]
    seen = []

    def gate(channels: int) -> nn.Module:
        seen.append(channels)
        return SqueezeExcitation(channels, 1)

    gated = InvertedResidual(4, 4, conv_norm=WRITE, expansion=6, gate=gate)
    assert seen == [24]
    assert isinstance(gated.branch[6], SqueezeExcitation)
