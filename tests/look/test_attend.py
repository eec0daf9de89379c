"""Grad-CAM by its two equations."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fathom.look.attend import Attention, grad_cam
from fathom.models.registry import build_model
from tests.look.captums import captum
from tests.look.tiny import Tiny, images, untouched


def by_the_paper(model: Tiny, image: Tensor, target: int, stage: int) -> tuple[Tensor, Tensor]:
    """Equations 1 and 2 of arXiv:1610.02391, sum by sum."""
    maps = model.features(image)
    logit = model.head(maps[-1])[0, target]
    (gradient,) = torch.autograd.grad(logit, maps[stage])
    channels, height, width = maps[stage].shape[1:]
    weights = torch.zeros(channels)
    for k in range(channels):
        for i in range(height):
            for j in range(width):
                weights[k] += gradient[0, k, i, j] / (height * width)
    heat = torch.zeros(height, width)
    for i in range(height):
        for j in range(width):
            total = sum(
                float(weights[k] * maps[stage][0, k, i, j].detach()) for k in range(channels)
            )
            heat[i, j] = max(0.0, total)
    return weights, heat


@settings(deadline=None, derandomize=True, database=None, max_examples=6)
@given(seed=st.integers(0, 1000), target=st.integers(0, 4), stage=st.integers(0, 1))
def test_it_is_both_equations(seed: int, target: int, stage: int) -> None:
    model, image = Tiny(seed), images(seed)
    found = grad_cam(model, image, target=target, stage=stage)
    weights, heat = by_the_paper(model, image, target, stage)
    torch.testing.assert_close(found.weights, weights, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.heat, heat, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("name", ["cifar_resnet20", "densenet121", "efficientnet_b0"])
def test_captum_finds_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=5).eval()
    side = max(64, model.min_size)
    image = torch.randn(1, 3, side, side)
    stage = len(model.stages) - 1
    found = grad_cam(model, image, target=2, stage=stage)
    theirs = captum().LayerGradCam(model, model.stages[stage])
    expected = theirs.attribute(image, target=2, relu_attributions=True)
    torch.testing.assert_close(found.heat, expected[0, 0].detach())
    assert found.logit == pytest.approx(float(model(image)[0, 2].detach()), rel=1e-4, abs=1e-5)


def test_the_network_is_left_alone() -> None:
    model = Tiny(1).train()
    model.requires_grad_(False)  # as parts that are not trained are
    before = untouched(model)
    grad_cam(model, images(1), target=0, stage=1)
    assert untouched(model) == before


def test_half_of_the_heat_is_counted_from_the_hottest_place() -> None:
    weights = torch.zeros(1)
    heat = torch.tensor([[5.0, 1.0], [1.0, 1.0]])
    assert Attention(heat, weights, 0.0).half == 1 / 4
    assert Attention(torch.ones(2, 2), weights, 0.0).half == 2 / 4
    silent = Attention(torch.zeros(2, 2), weights, 0.0)
    assert silent.silent
    assert silent.half == 0
