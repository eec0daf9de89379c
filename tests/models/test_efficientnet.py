"""The EfficientNet family against the paper's tables, its scaling rule and its peers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import fathom
from fathom.errors import UserError
from fathom.layers import SqueezeExcitation
from fathom.models import efficientnet
from fathom.models.base import ImageClassifier
from fathom.models.efficientnet import MBConv, SameConv2d, Spec
from fathom.regularize import StochasticDepth
from fathom.weights.load import load_weights, reference_state_dict

B = [f"efficientnet_b{i}" for i in range(8)]


def on_meta(name: str, **settings: Any) -> ImageClassifier:
    with torch.device("meta"):
        return fathom.create_model(name, **settings)


def spec_of(name: str, **settings: Any) -> Spec:
    spec = on_meta(name, **settings).spec
    assert isinstance(spec, Spec)
    return spec


def blocks(model: ImageClassifier) -> list[MBConv]:
    return [m for m in model.modules() if isinstance(m, MBConv)]


def test_b0_is_table_1() -> None:
    """arXiv:1905.11946, Table 1: operator, resolution that enters, channels and layers of a stage;
    its last two rows enter at 14 and 7 pixels where strides say so."""
    table = [
        (1, 3, 112, 16, 1),
        (6, 3, 112, 24, 2),
        (6, 5, 56, 40, 2),
        (6, 3, 28, 80, 3),
        (6, 5, 14, 112, 3),
        (6, 5, 14, 192, 4),
        (6, 3, 7, 320, 1),
    ]
    model = on_meta("efficientnet_b0")
    x = model.stem(torch.zeros(1, 3, 224, 224, device="meta"))
    assert x.shape[1] == 32
    for stage, (expansion, kernel, size, channels, layers) in zip(model.stages, table, strict=True):
        assert x.shape[2] == size
        assert len(list(stage.children())) == layers
        for block in stage.children():
            assert isinstance(block, MBConv)
            convolutions = [m for m in block.branch if isinstance(m, nn.Conv2d)]
            assert convolutions[-1].in_channels == expansion * x.shape[1]
            assert convolutions[-2].kernel_size == (kernel, kernel)
            x = block(x)
        assert x.shape[1] == channels
    assert model.head[0](x).shape[1:] == (1280, 7, 7)


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("efficientnet_b0", 5.3, 0.39),
        ("efficientnet_b1", 7.8, 0.70),
        ("efficientnet_b2", 9.2, 1.0),
        ("efficientnet_b3", 12, 1.8),
        ("efficientnet_b4", 19, 4.2),
        ("efficientnet_b5", 30, 9.9),
        ("efficientnet_b6", 43, 19),
        ("efficientnet_b7", 66, 37),
    ],
)
def test_costs_are_table_2s(name: str, params: float, macs: float) -> None:
    """arXiv:1905.11946, Table 2: millions of parameters, and billions of multiply-adds, which the
    paper calls FLOPs."""
    card = fathom.model_card(name)
    assert card.params / 1e6 == pytest.approx(params, rel=0.025)
    assert card.macs / 1e9 == pytest.approx(macs, rel=0.05)


@pytest.mark.parametrize("name", B)
def test_costs_are_torchvisions(name: str) -> None:
    """torchvision gives billions of multiply-adds beside its weights, B2's for 288 pixels."""
    meta = torchvision.models.get_model_weights(name).IMAGENET1K_V1.meta
    card = fathom.model_card(name)
    assert card.params == meta["num_params"]
    if name != "efficientnet_b2":
        assert card.macs / 1e9 == pytest.approx(meta["_ops"], abs=0.001)


@pytest.mark.parametrize(
    ("name", "params"),
    [("efficientnet_lite0", 4.7), ("efficientnet_lite1", 5.4), ("efficientnet_lite2", 6.1)],
)
def test_lite_has_the_reference_codes_parameters(name: str, params: float) -> None:
    """The README of the reference code's lite folder gives millions of parameters."""
    assert round(fathom.model_card(name).params / 1e6, 1) == params


def docstring_table() -> dict[str, list[list[float]]]:
    """The rows of the module's table by their first word; "rule" appears three times."""
    rows: dict[str, list[list[float]]] = {}
    for line in (efficientnet.__doc__ or "").splitlines():
        label, *cells = line.split() or [""]
        if len(cells) == len(B) and label in ("phi", "width", "depth", "pixels", "rule"):
            rows.setdefault(label, []).append([float(cell) for cell in cells])
    return rows


def test_the_coefficients_follow_the_compound_rule_as_far_as_the_docstring_says() -> None:
    """arXiv:1905.11946, Section 3.3: depth 1.2, width 1.1 and resolution 1.15 to the power phi."""
    table = docstring_table()
    (phis,) = table["phi"]
    rules = table["rule"]
    assert rules[0] == [round(1.1**phi, 2) for phi in phis]
    assert rules[1] == [round(1.2**phi, 2) for phi in phis]
    assert rules[2] == [round(224 * 1.15**phi) for phi in phis]
    (width,), (depth,), (pixels,) = table["width"], table["depth"], table["pixels"]
    assert width == [spec_of(name).width for name in B]
    assert depth == [spec_of(name).depth for name in B]
    assert pixels == [fathom.model_card(name).image_size for name in B]
    assert width == pytest.approx(rules[0], rel=0.05)
    assert pixels == pytest.approx(rules[2], rel=0.045)
    assert depth[:4] == pytest.approx(rules[1][:4], rel=0.05)
    behind = [rule - found for found, rule in zip(depth, rules[1], strict=True)]
    assert behind[3:] == sorted(behind[3:])
    cost = 1.2 * 1.1**2 * 1.15**2
    assert cost == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("name", "depths"),
    [
        ("efficientnet_b1", (2, 3, 3, 4, 4, 5, 2)),
        ("efficientnet_b7", (4, 7, 7, 10, 10, 13, 4)),
        ("efficientnet_lite1", (1, 3, 3, 4, 4, 5, 1)),
    ],
)
def test_depths_are_rounded_up(name: str, depths: tuple[int, ...]) -> None:
    """By hand from Table 1; lite leaves the first and the last stage as they are."""
    assert spec_of(name).depths == depths


def test_lite_has_no_gates_relu6_and_fixed_ends() -> None:
    model = on_meta("efficientnet_lite2")
    assert not [m for m in model.modules() if isinstance(m, SqueezeExcitation | nn.SiLU)]
    assert [m for m in model.modules() if isinstance(m, nn.ReLU6)]
    assert model.stem(torch.zeros(1, 3, 8, 8, device="meta")).shape[1] == 32
    assert model.classifiers()[0].in_features == 1280
    scaled = on_meta("efficientnet_b2")
    assert scaled.stem(torch.zeros(1, 3, 8, 8, device="meta")).shape[1] == 32
    assert scaled.classifiers()[0].in_features == 1408
    assert not [m for m in scaled.modules() if isinstance(m, nn.ReLU6)]


def test_gates_reduce_to_a_quarter_of_the_blocks_input() -> None:
    """arXiv:1905.11946, Section 4: squeeze and excitation of MnasNet, ratio 0.25."""
    for block in blocks(on_meta("efficientnet_b3")):
        (gate,) = [m for m in block.branch if isinstance(m, SqueezeExcitation)]
        convolutions = [m for m in block.branch if isinstance(m, nn.Conv2d)]
        entering = convolutions[0].in_channels
        assert gate.reduce.out_channels == entering // 4
        assert isinstance(gate.act, nn.SiLU)


def test_stochastic_depth_grows_to_its_rate_where_there_is_a_shortcut() -> None:
    """arXiv:1905.11946, Section 5.2: survival probability 0.8; arXiv:1603.09382, Equation 4."""
    found = blocks(on_meta("efficientnet_b0"))
    for index, block in enumerate(found):
        drops = [m.drop for m in block.branch if isinstance(m, StochasticDepth)]
        expected = [pytest.approx(0.2 * (index + 1) / len(found))]
        assert drops == (expected if block.shortcut is not None else [])
    calm = on_meta("efficientnet_b0", stochastic_depth=0.0, dropout=0.0)
    assert not [m for m in calm.modules() if isinstance(m, StochasticDepth | nn.Dropout)]
    assert calm.key_maps()["timm"][-1] == ("head.5", "classifier")


def test_dropout_is_the_reference_codes() -> None:
    rates = [0.2, 0.2, 0.3, 0.3, 0.4, 0.4, 0.5, 0.5]
    for name, rate in zip(B, rates, strict=True):
        assert [m.p for m in on_meta(name).head if isinstance(m, nn.Dropout)] == [rate]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [1, 2, 7, 8, 15, 16])
def test_same_padding_puts_the_odd_zero_at_the_end(kernel: int, size: int) -> None:
    """TensorFlow's rule: total = (ceil(size / stride) - 1) * stride + kernel - size zeros."""
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel, stride=2, padding=kernel // 2, bias=False)
    x = torch.randn(1, 2, size, size + 1)
    zeros = [(math.ceil(s / 2) - 1) * 2 + kernel - s for s in (size + 1, size)]
    padded = F.pad(x, [part for z in zeros for part in (z // 2, z - z // 2)])
    out = conv(x)
    assert out.shape[2:] == (math.ceil(size / 2), math.ceil((size + 1) / 2))
    torch.testing.assert_close(out, F.conv2d(padded, conv.weight, stride=2))


def test_strided_convolutions_alone_are_padded_otherwise() -> None:
    same = on_meta("efficientnet_lite0").modules()
    for module in same:
        if isinstance(module, nn.Conv2d):
            assert isinstance(module, SameConv2d) == (module.stride == (2, 2))
    assert not [m for m in on_meta("efficientnet_b0").modules() if isinstance(m, SameConv2d)]


def test_norms_have_the_specs_settings() -> None:
    for name, expected in (("efficientnet_b4", (1e-5, 0.1)), ("efficientnet_b5", (1e-3, 0.01))):
        norms = [m for m in on_meta(name).modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(m.eps, m.momentum) for m in norms} == {expected}


def test_the_cifar_stem_keeps_the_resolution() -> None:
    model = on_meta("efficientnet_b0", stem="cifar")
    x = torch.zeros(1, 3, 32, 32, device="meta")
    assert model.stem(x).shape == (1, 32, 32, 32)
    assert model.features(x)[-1].shape == (1, 320, 2, 2)


@pytest.mark.parametrize(
    ("name", "settings", "peer", "theirs"),
    [
        (
            "efficientnet_b0",
            {"padding": "same", "norm_eps": 1e-3},
            "tf_efficientnet_b0",
            {},
        ),
        (
            "efficientnet_lite0",
            {"padding": "symmetric", "norm_eps": 1e-5},
            "efficientnet_lite0",
            {},
        ),
        ("efficientnet_b5", {}, "efficientnet_b5", {"bn_eps": 1e-3}),
    ],
)
def test_other_settings_are_timms_other_networks(
    name: str, settings: dict[str, Any], peer: str, theirs: dict[str, Any]
) -> None:
    """Where the default differs from a peer of timm, the Spec reaches it."""
    torch.manual_seed(0)
    other = timm.create_model(peer, num_classes=10, **theirs).double()
    with torch.no_grad():
        other.train()(torch.randn(3, 3, 64, 64, dtype=torch.float64))
    mine = fathom.create_model(name, num_classes=10, **settings).double().eval()
    load_weights(mine, other.state_dict())
    for size in (64, 97):
        images = torch.randn(2, 3, size, size, dtype=torch.float64)
        with torch.no_grad():
            expected = other.eval()(images)
            assert (mine(images) - expected).abs().max() <= 1e-9 * expected.abs().max()


def test_converted_lite_weights_load_by_their_names() -> None:
    model = fathom.create_model("efficientnet_lite0", num_classes=10)
    state = reference_state_dict(model, "lite")
    assert next(iter(state)) == "_conv_stem.weight"
    assert {name.split(".")[0] for name in state} == {
        "_conv_stem",
        "_bn0",
        "_blocks",
        "_conv_head",
        "_bn1",
        "_fc",
    }
    assert state["_blocks.0._depthwise_conv.weight"].shape == (32, 1, 3, 3)
    assert state["_blocks.0._bn2.weight"].shape == (16,)
    assert "_blocks.0._expand_conv.weight" not in state
    assert state["_blocks.1._expand_conv.weight"].shape == (96, 16, 1, 1)
    assert state["_blocks.15._project_conv.weight"].shape == (320, 1152, 1, 1)
    torch.manual_seed(1)
    fresh = fathom.create_model("efficientnet_lite0", num_classes=10)
    assert load_weights(fresh, state).layout == "lite"
    values = fresh.state_dict()
    assert all(torch.equal(value, values[name]) for name, value in model.state_dict().items())
    assert "lite" not in on_meta("efficientnet_b0").key_maps()


def test_weights_start_as_the_reference_codes_do() -> None:
    """Normal with the fan-out of one group, classifier uniform within 1 / sqrt(classes)."""
    torch.manual_seed(0)
    model = fathom.create_model("efficientnet_b0")
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 10_000:
            fan_out = module.out_channels * module.weight[0, 0].numel() // module.groups
            std = module.weight.std().item()
            assert std == pytest.approx((2 / fan_out) ** 0.5, rel=0.03)
    weight = model.classifiers()[0].weight.detach()
    assert weight.abs().max().item() == pytest.approx(1000**-0.5, rel=0.01)
    assert not model.classifiers()[0].bias.any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stem": "deep"}, "imagenet, cifar"),
        ({"padding": "valid"}, "symmetric, same"),
        ({"width": 0.0}, "width is 0"),
        ({"depth": -1.0}, "depth is -1"),
        ({"norm_eps": 0.0}, "norm_eps is 0"),
        ({"norm_momentum": 0.0}, "norm_momentum is 0"),
        ({"stochastic_depth": 1.0}, "stochastic_depth is 1"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fathom.create_model("efficientnet_b0", **settings)
