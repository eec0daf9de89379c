"""The MobileNet family against the papers' tables."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

import fathom
from fathom.costs import cost
from fathom.errors import UserError
from fathom.layers import InvertedResidual
from fathom.models.base import ImageClassifier
from fathom.models.mobilenet import Separable


def on_meta(name: str, **settings: Any) -> ImageClassifier:
    with torch.device("meta"):
        return fathom.create_model(name, **settings)


def layer_outputs(model: ImageClassifier, size: int) -> list[tuple[nn.Module, Tensor]]:
    """Every convolution and linear layer with what it hands on, in the order of computation."""
    seen: list[tuple[nn.Module, Tensor]] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(lambda m, _, output: seen.append((m, output)))
    model.eval()(torch.zeros(1, 3, size, size, device="meta"))
    return seen


def test_v1_is_table_1() -> None:
    """arXiv:1704.04861, Table 1 and Section 3.2: 28 layers, counting depthwise and pointwise
    convolutions apart; an even row of the table is a depthwise convolution."""
    seen = layer_outputs(on_meta("mobilenet_v1"), 224)
    assert len(seen) == 28
    shapes = [tuple(output.shape[1:3]) for _, output in seen]
    pairs = [(64, 112), (128, 56), (128, 56), (256, 28), (256, 28), (512, 14)]
    pairs += [(512, 14)] * 5 + [(1024, 7), (1024, 7)]
    assert shapes[0] == (32, 112)
    assert shapes[2:27:2] == pairs
    channels = [32, *(width for width, _ in pairs[:-1])]
    assert shapes[1:26:2] == [(c, size) for c, (_, size) in zip(channels, pairs, strict=True)]
    for convolution, _ in seen[1:26:2]:
        assert isinstance(convolution, nn.Conv2d)
        assert convolution.groups == convolution.in_channels


def test_v1_costs_what_tables_2_and_8_say() -> None:
    """arXiv:1704.04861, Table 8: 4.2 M parameters, 569 M multiply-adds; Table 2: 94.86 % of the
    multiply-adds and 74.59 % of the parameters are in 1x1 convolutions, 3.06 % and 1.06 % in
    depthwise ones, 0.18 % and 24.33 % in the linear layer. Of the first convolution it says 1.19 %
    and 0.02 %; the first is a slip for 1.91, with which its column sums to 100 %."""
    card = fathom.model_card("mobilenet_v1")
    assert round(card.params / 1e6, 1) == 4.2
    assert round(card.macs / 1e6) == 569
    macs: dict[str, int] = {}
    params: dict[str, int] = {}
    for module, output in layer_outputs(on_meta("mobilenet_v1"), 224):
        if isinstance(module, nn.Conv2d):
            kind = "1x1" if module.kernel_size == (1, 1) else "first"
            kind = "depthwise" if module.groups > 1 else kind
        else:
            kind = "linear"
        weight = module.weight
        assert isinstance(weight, Tensor)
        macs[kind] = macs.get(kind, 0) + output[0].numel() * weight[0].numel()
        params[kind] = params.get(kind, 0) + sum(p.numel() for p in module.parameters())
    shares = {kind: 100 * value / sum(macs.values()) for kind, value in macs.items()}
    assert shares == pytest.approx(
        {"1x1": 94.86, "depthwise": 3.06, "first": 1.91, "linear": 0.18}, abs=0.01
    )
    shares = {kind: 100 * value / sum(params.values()) for kind, value in params.items()}
    assert shares == pytest.approx(
        {"1x1": 74.59, "depthwise": 1.06, "first": 0.02, "linear": 24.33}, abs=0.05
    )


@pytest.mark.parametrize(
    ("width", "macs", "params"), [(0.75, 325, 2.6), (0.5, 149, 1.3), (0.25, 41, 0.5)]
)
def test_v1_narrows_as_table_6(width: float, macs: int, params: float) -> None:
    """arXiv:1704.04861, Table 6: millions of multiply-adds and parameters."""
    found = cost(on_meta("mobilenet_v1", width=width), image_size=224)
    assert found.macs / 1e6 == pytest.approx(macs, abs=1)
    assert round(found.params / 1e6, 1) == params


def test_splitting_a_convolution_costs_what_section_3_1_says() -> None:
    """arXiv:1704.04861, Section 3.1: 1/C' + 1/9 of an ordinary 3x3 convolution."""
    split = cost(Separable(32, 64, stride=1), image_size=8, in_channels=32).macs
    whole = cost(nn.Conv2d(32, 64, 3, padding=1), image_size=8, in_channels=32).macs
    assert split / whole == pytest.approx(1 / 64 + 1 / 9)


def test_v2_is_table_2() -> None:
    """arXiv:1801.04381, Table 2: t, c, n, s of each row, and the size of what enters it."""
    table = [
        (112, 1, 16, 1, 1),
        (112, 6, 24, 2, 2),
        (56, 6, 32, 3, 2),
        (28, 6, 64, 4, 2),
        (14, 6, 96, 3, 1),
        (14, 6, 160, 3, 2),
        (7, 6, 320, 1, 1),
    ]
    model = on_meta("mobilenet_v2")
    x = model.stem(torch.zeros(1, 3, 224, 224, device="meta"))
    channels = 32
    for stage, (size, t, c, n, s) in zip(model.stages, table, strict=True):
        assert x.shape[1:] == (channels, size, size)
        assert len(list(stage.children())) == n
        for index, block in enumerate(stage.children()):
            assert isinstance(block, InvertedResidual)
            convolutions = [m for m in block.branch if isinstance(m, nn.Conv2d)]
            assert convolutions[-1].in_channels == t * channels
            assert convolutions[-2].stride == ((s, s) if index == 0 else (1, 1))
            assert (block.shortcut is not None) == (index > 0)
            channels = c
        x = stage(x)
    assert x.shape[1:] == (320, 7, 7)
    assert model.head[0](x).shape[1:] == (1280, 7, 7)


def test_v2_costs_what_table_4_says() -> None:
    """arXiv:1801.04381, Table 4: 3.4 M parameters and 300 M multiply-adds; at width 1.4, 585 M.
    torchvision gives billions of multiply-adds beside its weights."""
    card = fathom.model_card("mobilenet_v2")
    assert card.params / 1e6 == pytest.approx(3.4, abs=0.11)
    assert card.macs / 1e6 == pytest.approx(300, abs=1)
    wide = cost(on_meta("mobilenet_v2", width=1.4), image_size=224)
    assert wide.macs / 1e6 == pytest.approx(585, rel=0.01)
    declared = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.meta["_ops"]
    assert card.macs / 1e9 == pytest.approx(declared, abs=0.001)


@pytest.mark.parametrize(
    ("name", "width", "peer"),
    [
        ("mobilenet_v1", 1.25, "mobilenetv1_125"),
        ("mobilenet_v2", 0.35, "mobilenetv2_035"),
        ("mobilenet_v2", 0.5, "mobilenetv2_050"),
        ("mobilenet_v2", 1.4, "mobilenetv2_140"),
    ],
)
def test_widths_are_timms(name: str, width: float, peer: str) -> None:
    with torch.device("meta"):
        theirs = timm.create_model(peer)
    count = sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in on_meta(name, width=width).parameters()) == count


@pytest.mark.parametrize(("width", "channels"), [(0.5, 1280), (1.0, 1280), (1.4, 1792)])
def test_the_head_is_never_narrowed(width: float, channels: int) -> None:
    """arXiv:1801.04381, Section 4."""
    assert on_meta("mobilenet_v2", width=width).classifiers()[0].in_features == channels


def test_v1_has_activations_everywhere_and_v2_linear_bottlenecks() -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, 64, 64)
    for map_ in fathom.create_model("mobilenet_v1").eval().features(images):
        assert map_.min() >= 0
        assert map_.max() <= 6
    model = fathom.create_model("mobilenet_v2").train()
    assert all((map_ < 0).any() for map_ in model.features(images))
    assert model.stem(images).max() <= 6


def test_the_cifar_stem_keeps_the_resolution() -> None:
    for name in ("mobilenet_v1", "mobilenet_v2"):
        model = on_meta(name, stem="cifar")
        x = torch.zeros(1, 3, 32, 32, device="meta")
        assert model.stem(x).shape == (1, 32, 32, 32)
        assert model.features(x)[-1].shape[2:] == (2, 2)


def test_dropout_is_the_reference_codes() -> None:
    """0.001 for V1 and 0.2 for V2; none where it is 0."""
    for name, rate in (("mobilenet_v1", 0.001), ("mobilenet_v2", 0.2)):
        assert [m.p for m in on_meta(name).head if isinstance(m, nn.Dropout)] == [rate]
        without = on_meta(name, dropout=0.0)
        assert not [m for m in without.modules() if isinstance(m, nn.Dropout)]
        assert without.key_maps()["timm"][-1] == (f"head.{len(without.head) - 1}", "classifier")


def test_weights_start_as_torchvisions_do() -> None:
    """Kaiming normal, fan-out (arXiv:1502.01852), and deviation 0.01 for the classifier."""
    torch.manual_seed(0)
    model = fathom.create_model("mobilenet_v2")
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 30_000:
            expected = (2 / (module.out_channels * module.weight[0, 0].numel())) ** 0.5
            assert module.weight.std().item() == pytest.approx(expected, rel=0.03)
    assert model.classifiers()[0].weight.std().item() == pytest.approx(0.01, rel=0.01)
    assert not model.classifiers()[0].bias.any()


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("mobilenet_v2", {"block": "fused"}, "separable, inverted"),
        ("mobilenet_v2", {"stem": "deep"}, "imagenet, cifar"),
        ("mobilenet_v2", {"depths": (1, 2)}, "same number of stages"),
        ("mobilenet_v1", {"depths": (1, 2, 2, 0, 2)}, "at least one block"),
        ("mobilenet_v1", {"expansions": (1, 6, 6, 6, 6)}, "do not expand"),
        ("mobilenet_v2", {"expansions": ()}, "one factor for each stage"),
        ("mobilenet_v1", {"strides": (1, 2, 2, 2, 0)}, "strides .* at least 1"),
        ("mobilenet_v2", {"head_width": 0}, "head_width is 0"),
        ("mobilenet_v2", {"width": 0.0}, "above 0"),
        ("mobilenet_v2", {"dropout": 1.0}, "below 1"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        fathom.create_model(name, **settings)
