"""ConvNeXt against its paper's tables and a literal version of its block."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fathom
from fathom.costs import cost
from fathom.errors import UserError
from fathom.models.convnext import Block, LayerScale, Network, Spec
from fathom.regularize import StochasticDepth

SMALL: dict[str, Any] = {"depths": (1, 2), "widths": (8, 12)}


def build(**settings: Any) -> Network:
    """A small network of the family."""
    torch.manual_seed(0)
    return Network(Spec(**{**SMALL, **settings}), num_classes=5, in_channels=3)


@pytest.mark.parametrize(
    ("name", "params", "gmacs", "gmacs_384"),
    [
        ("convnext_tiny", 29, 4.5, 13.1),
        ("convnext_small", 50, 8.7, 25.5),
        ("convnext_base", 89, 15.4, 45.1),
        ("convnext_large", 198, 34.4, 101.0),
        ("convnext_xlarge", 350, 60.9, 179.0),
    ],
)
def test_costs_are_the_papers(name: str, params: int, gmacs: float, gmacs_384: float) -> None:
    """arXiv:2201.03545, Table 1: parameters in millions, FLOPs (multiply-adds) in G at 224 and 384
    pixels. The table says both 45.0 and 45.1 for ConvNeXt-B at 384."""
    with torch.device("meta"):
        model = fathom.create_model(name)
    assert round(cost(model, image_size=224).params / 1e6) == params
    assert round(cost(model, image_size=224).macs / 1e9, 1) == gmacs
    assert round(cost(model, image_size=384).macs / 1e9, 1) == gmacs_384


def test_layers_are_the_papers() -> None:
    """arXiv:2201.03545, Table 9: ConvNeXt-T's kernels and channels, stage by stage."""
    with torch.device("meta"):
        model = fathom.create_model("convnext_tiny")
    stem = model.stem[0]  # type: ignore[index]
    assert (stem.kernel_size, stem.stride, stem.out_channels) == ((4, 4), (4, 4), 96)
    for stage, depth, width in zip(model.stages, (3, 3, 9, 3), (96, 192, 384, 768), strict=True):
        blocks = [m for m in stage.modules() if isinstance(m, Block)]
        assert len(blocks) == depth
        for block in blocks:
            conv, _, norm, expand, _, reduce, *_ = block.branch
            assert isinstance(conv, nn.Conv2d)
            assert (conv.kernel_size, conv.groups, conv.out_channels) == ((7, 7), width, width)
            assert isinstance(norm, nn.LayerNorm)
            assert norm.eps == 1e-6
            assert isinstance(expand, nn.Linear)
            assert isinstance(reduce, nn.Linear)
            assert (expand.out_features, reduce.out_features) == (4 * width, width)


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("convnext_tiny", 0.1),
        ("convnext_small", 0.4),
        ("convnext_base", 0.5),
        ("convnext_large", 0.5),
        ("convnext_xlarge", 0.2),
    ],
)
def test_drop_rates_are_the_papers(name: str, rate: float) -> None:
    """arXiv:2201.03545, Appendix A.1, Table 5; ConvNeXt-XL's is that of pretraining. They rise by
    the same amount from block to block."""
    with torch.device("meta"):
        model = fathom.create_model(name)
    drops = [m.drop for m in model.modules() if isinstance(m, StochasticDepth)]
    assert drops == pytest.approx([rate * (i + 1) / len(drops) for i in range(len(drops))])
    assert len(drops) == sum(isinstance(m, Block) for m in model.modules())


def literal_block(block: Block, x: Tensor) -> Tensor:
    """The block of arXiv:2201.03545, Figure 4, one pixel's channels at a time."""
    conv, _, norm, expand, _, reduce, _, scale = block.branch
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.LayerNorm)
    assert isinstance(expand, nn.Linear)
    assert isinstance(reduce, nn.Linear)
    assert isinstance(scale, LayerScale)
    mixed = F.conv2d(x, conv.weight, conv.bias, padding=3, groups=x.shape[1])
    out = x.clone()
    for n in range(x.shape[0]):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                pixel = mixed[n, :, i, j]
                pixel = (pixel - pixel.mean()) / (pixel.var(correction=0) + 1e-6).sqrt()
                pixel = pixel * norm.weight + norm.bias
                hidden = expand.weight @ pixel + expand.bias
                hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
                out[n, :, i, j] += scale.scale * (reduce.weight @ hidden + reduce.bias)
    return out


def test_a_block_is_the_formula() -> None:
    torch.manual_seed(0)
    block = Block(6, layer_scale=1.0, drop=0.0).double()
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_()
        x = torch.randn(2, 6, 5, 4, dtype=torch.float64)
        torch.testing.assert_close(block(x), literal_block(block, x))


def test_a_block_whose_branch_is_zero_is_the_identity() -> None:
    block = Block(6, layer_scale=1e-6, drop=0.0)
    nn.init.zeros_(block.branch[-1].scale)  # type: ignore[arg-type]
    x = torch.randn(2, 6, 5, 5)
    assert torch.equal(block(x), x)


def test_layer_scale_starts_where_told_and_is_a_vector() -> None:
    """A vector, because weight decay leaves vectors alone."""
    scales = [m.scale for m in build(layer_scale=0.25).modules() if isinstance(m, LayerScale)]
    assert [s.shape for s in scales] == [(8,), (12,), (12,)]
    assert all(bool((s == 0.25).all()) for s in scales)
    with torch.device("meta"):
        default = fathom.create_model("convnext_tiny").spec
    assert default.layer_scale == 1e-6  # type: ignore[union-attr]
    assert not any(isinstance(m, LayerScale) for m in build(layer_scale=None).modules())


def test_layer_scale_acts_on_channels() -> None:
    layer = LayerScale(3, 1.0)
    with torch.no_grad():
        layer.scale.copy_(torch.tensor([0.0, 1.0, 2.0]))
    x = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(layer(x), torch.stack([0 * x[:, 0], x[:, 1], 2 * x[:, 2]], dim=1))


def test_the_cifar_stem_keeps_the_resolution() -> None:
    model = build(stem="cifar")
    conv = model.stem[0]  # type: ignore[index]
    assert (conv.kernel_size, conv.stride) == ((3, 3), (1, 1))
    assert [tuple(m.shape[1:]) for m in model.features(torch.zeros(1, 3, 32, 32))] == [
        (8, 32, 32),
        (12, 16, 16),
    ]
    assert (model.min_size, build().min_size) == (2, 8)


def test_maps_stay_in_channels_last() -> None:
    model = build().to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, 64, 64).to(memory_format=torch.channels_last)
    for features in model.features(images):
        assert features.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": (1, 1, 1)}, "same number of stages"),
        ({"depths": (1, 0)}, "at least one block"),
        ({"widths": (8, 0)}, "at least 1"),
        ({"stem": "patchify"}, "imagenet, cifar"),
        ({"layer_scale": 0.0}, "above 0"),
        ({"stochastic_depth": 1.0}, "below 1"),
    ],
)
def test_what_cannot_be_built_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Spec(**{**SMALL, **settings})


def test_weights_start_as_in_the_authors_code() -> None:
    """Truncated normal of deviation 0.02, biases zero, norms the identity."""
    torch.manual_seed(0)
    model = fathom.create_model("convnext_tiny")
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if module.weight.numel() > 20_000:
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.02), path
            assert module.bias is not None
            assert not module.bias.any()
        elif isinstance(module, nn.LayerNorm):
            assert bool((module.weight == 1).all())
            assert not module.bias.any()
