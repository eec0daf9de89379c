"""A folded network gives the logits of the network it came from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import fathom
from fathom.features.fold import folded
from fathom.layers import freeze_norms
from fathom.runtime import generator
from tests.accelerator import on_apple

# One small network a family and a kind of block: name, Spec, batch norms that cannot be folded.
NETWORKS: list[tuple[str, dict[str, Any], int]] = [
    ("alexnet", {"norm": "batch"}, 0),
    ("vgg11_bn", {"depths": (1, 2), "widths": (8, 16)}, 0),
    ("googlenet", {}, 0),
    ("cifar_resnet20", {}, 0),
    ("resnet50", {"depths": (1, 1, 1, 1)}, 0),
    ("resnet18", {"norm_place": "after", "depths": (1, 1, 1, 1)}, 1 + 8),  # shortcuts fold
    ("densenet121", {"depths": (2, 2)}, 4 + 4 + 1 + 1),
    ("mobilenet_v1", {}, 0),
    ("mobilenet_v2", {}, 0),
    ("efficientnet_b0", {}, 0),
    ("efficientnet_lite0", {}, 0),
    ("convnext_tiny", {"depths": (1, 1, 1, 1)}, 0),
    ("road_03_depthwise", {"depths": (1, 1, 1, 1)}, 0),
]


def network(name: str, **spec: Any) -> fathom.models.base.ImageClassifier:
    """A network whose batch norms have random statistics, scales and shifts."""
    torch.manual_seed(0)
    model = fathom.create_model(name, num_classes=10, **spec).eval()
    rng = generator("norms")
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
            module.weight.data.uniform_(0.5, 1.5, generator=rng)
            module.bias.data.normal_(0, 0.3, generator=rng)
    return model


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


@pytest.mark.parametrize(("name", "spec", "left"), NETWORKS)
def test_logits_and_stages_stay(name: str, spec: dict[str, Any], left: int) -> None:
    model = network(name, **spec)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    images = torch.randn(2, 3, max(64, model.min_size), 64, generator=generator("images"))
    with torch.inference_mode():
        expected, maps = model(images), model.features(images)
        other = folded(model)
        for ours, theirs in zip(maps, other.features(images), strict=True):
            torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-4 * float(ours.std()))
        spread = float(expected.std())
        assert spread > 0
        torch.testing.assert_close(other(images), expected, rtol=1e-4, atol=1e-4 * spread)
    assert norms(other) == left
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(p.requires_grad for p in other.parameters())
    assert not other.training


def test_a_copy_of_a_training_network_is_in_evaluation_mode() -> None:
    model = network("cifar_resnet20").train()
    assert not folded(model).training
    assert model.training


def test_frozen_norms_fold_too() -> None:
    model = network("cifar_resnet20")
    expected = folded(model).state_dict()
    freeze_norms(model)
    assert norms(folded(model)) == 0
    found = folded(model).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_norms_without_statistics_or_scales() -> None:
    torch.manual_seed(0)
    moving = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))
    assert norms(folded(moving)) == 1
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4, affine=False)).eval()
    images = torch.randn(2, 3, 8, 8)
    other = folded(plain)
    assert norms(other) == 0
    torch.testing.assert_close(other(images), plain(images))


def test_a_device_without_float64_is_enough() -> None:
    model = network("cifar_resnet20")
    expected = folded(model).state_dict()
    for module in model.modules():
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, on_apple(buffer))
    found = folded(model).state_dict()
    assert all(torch.equal(found[key], value) for key, value in expected.items())
