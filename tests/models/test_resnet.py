"""The ResNet family against torchvision's networks and the paper's tables."""

import pytest
import torch
import torchvision
from torch import nn

import fathom
from fathom.models.resnet import Block, PadShortcut

IMAGENET = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]


def carry_over(source: nn.Module, target: nn.Module) -> None:
    """Copy weights by kind and shape, in an order both networks share: stem, blocks, head."""

    # torchvision defines a block's shortcut after its branch, as we do, so the order is equal.
    theirs, mine = list(source.state_dict().values()), list(target.state_dict().values())
    assert [v.shape for v in theirs] == [v.shape for v in mine]
    for a, b in zip(theirs, mine, strict=True):
        b.copy_(a)


@pytest.mark.parametrize("name", IMAGENET)
def test_shapes_equal_torchvisions(name: str) -> None:
    with torch.device("meta"):
        mine, theirs = fathom.create_model(name), torchvision.models.get_model(name)
    assert [v.shape for v in mine.state_dict().values()] == [
        v.shape for v in theirs.state_dict().values()
    ]


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("size", [64, 97])
def test_logits_and_gradients_equal_torchvisions(name: str, size: int) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=10)
    mine = fathom.create_model(name, num_classes=10)
    carry_over(theirs, mine)
    images = torch.randn(2, 3, size, size)
    torch.testing.assert_close(mine.eval()(images), theirs.eval()(images), rtol=1e-5, atol=1e-5)
    mine.train()(images).square().mean().backward()
    theirs.train()(images).square().mean().backward()
    for a, b in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4 * float(b.grad.abs().max()))


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_cifar_depths_are_the_papers(depth: int) -> None:
    """arXiv:1512.03385, Section 4.2: 6n + 2 weighted layers, maps of 32, 16 and 8 pixels with 16,
    32 and 64 channels; Table 6 gives 0.27, 0.46, 0.66, 0.85 and 1.7 M parameters."""
    with torch.device("meta"):
        model = fathom.create_model(f"cifar_resnet{depth}")
        maps = model.features(torch.zeros(1, 3, 32, 32))
    weighted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(weighted) == depth
    assert [tuple(m.shape[1:]) for m in maps] == [(16, 32, 32), (32, 16, 16), (64, 8, 8)]
    params = sum(p.numel() for p in model.parameters())
    table = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}[depth]
    assert params / 1e6 == pytest.approx(table, abs=0.05 if depth == 110 else 0.01)


@pytest.mark.parametrize(("plain", "residual"), [("cifar_plain20", "cifar_resnet20")])
def test_a_plain_twin_has_the_same_weights(plain: str, residual: str) -> None:
    with torch.device("meta"):
        a, b = fathom.create_model(plain), fathom.create_model(residual)
    assert {k: v.shape for k, v in a.state_dict().items()} == {
        k: v.shape for k, v in b.state_dict().items()
    }


def test_a_plain_block_computes_no_sum() -> None:
    torch.manual_seed(0)
    model = fathom.create_model("cifar_plain20").eval()
    block = model.stages[0][0]  # type: ignore[index]
    assert isinstance(block, Block)
    x = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(x), block.branch(x).relu())


def test_a_residual_block_whose_branch_is_zero_is_the_identity() -> None:
    model = fathom.create_model("cifar_resnet20", zero_init=True).eval()
    block = model.stages[0][1]  # type: ignore[index]
    x = torch.rand(2, 16, 8, 8)
    torch.testing.assert_close(block(x), x)


def test_the_pad_shortcut_subsamples_and_adds_empty_channels() -> None:
    x = torch.rand(2, 16, 9, 9)
    out = PadShortcut(16, 32, 2)(x)
    assert out.shape == (2, 32, 5, 5)
    torch.testing.assert_close(out[:, :16], x[:, :, ::2, ::2])
    assert not out[:, 16:].any()


def test_convolutions_start_with_kaimings_deviation() -> None:
    """He et al. 2015, arXiv:1502.01852: std = sqrt(2 / fan), here fan-out."""
    torch.manual_seed(0)
    model = fathom.create_model("resnet34")
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 50_000:
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.02)
