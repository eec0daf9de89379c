"""The way back is the paper's, layer by layer, and the network stays as it is."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fathom.errors import UserError
from fathom.look.project import project
from fathom.models.registry import build_model
from tests.look.captums import captum
from tests.look.tiny import Tiny, images, silence, untouched


def by_the_paper(model: Tiny, image: Tensor, channel: int) -> Tensor:
    """Section 2.1 of arXiv:1311.2901, written down: of the second stage's strongest unit."""
    conv1, conv2, conv3 = model.convs
    with torch.no_grad():
        first = F.relu(conv1(image))
        pooled, switches = F.max_pool2d(first, 2, 2, return_indices=True)
        second = F.relu(conv2(pooled))
        third = F.relu(conv3(second))
        signal = torch.zeros_like(third)
        place = int(third[0, channel].argmax())
        signal[0, channel].view(-1)[place] = third[0, channel].max()
        back = F.conv_transpose2d(
            F.relu(signal), conv3.weight, stride=2, padding=1, output_padding=1
        )
        back = F.conv_transpose2d(F.relu(back), conv2.weight, padding=1)
        back = F.max_unpool2d(back, switches, [2, 2], [2, 2], output_size=first.shape[2:])
        return F.conv_transpose2d(F.relu(back), conv1.weight, padding=1)[0]


@settings(deadline=None, derandomize=True, database=None, max_examples=20)
@given(seed=st.integers(0, 1000), channel=st.integers(0, 3))
def test_it_is_the_deconvnet(seed: int, channel: int) -> None:
    model, image = Tiny(seed), images(seed)
    if float(model.features(image)[1][0, channel].detach().max()) <= 0:
        return
    found = project(model, image, stage=1, channel=channel)
    torch.testing.assert_close(found.pixels, by_the_paper(model, image, channel))
    assert found.switched


def test_the_strongest_channel_is_taken_and_the_network_left_alone() -> None:
    model, image = Tiny(1).train(), images(1)
    before = untouched(model)
    found = project(model, image, stage=0)
    maps = model.features(image)[0][0].detach()
    assert found.channel == int(maps.flatten(1).amax(1).argmax())
    assert found.value == float(maps.max())
    assert float(maps[found.channel, found.place[0], found.place[1]]) == found.value
    assert untouched(model) == before


def test_another_signal_comes_back_than_the_gradient() -> None:
    model, image = Tiny(2), images(2).requires_grad_()
    maps = model.features(image)[1]
    found = project(model, image.detach(), stage=1)
    top = maps[0, found.channel, found.place[0], found.place[1]]
    (gradient,) = torch.autograd.grad(top, image)
    assert not torch.allclose(found.value * gradient[0], found.pixels)


@pytest.mark.parametrize("act", [nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish])
def test_other_rectifiers_follow_the_rule_of_the_rectifier(act: type[nn.Module]) -> None:
    """All but the forward pass is as with ReLU: from the same unit the same pixels, but for its
    value."""
    image = images(3)
    found = project(Tiny(3, act), image, stage=0, channel=0)
    maps = Tiny(3).features(image)[0].detach()
    signal = torch.zeros_like(maps)
    signal[0, 0, found.place[0], found.place[1]] = found.value
    model = Tiny(3)
    conv1, conv2, _ = model.convs
    with torch.no_grad():
        first = F.relu(conv1(image))
        switches = F.max_pool2d(first, 2, 2, return_indices=True)[1]
        back = F.conv_transpose2d(F.relu(signal), conv2.weight, padding=1)
        back = F.max_unpool2d(back, switches, [2, 2], [2, 2], output_size=first.shape[2:])
        back = F.conv_transpose2d(F.relu(back), conv1.weight, padding=1)[0]
    torch.testing.assert_close(found.pixels, back)


def test_gates_are_taken_as_they_are() -> None:
    """Of a product x * sigmoid(x) the signal goes back through x alone."""

    class Gated(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * torch.sigmoid(x)

    model, image = Tiny(4, Gated), images(4)
    found = project(model, image, stage=0)
    before = model.convs[1](model.stem(image))[0].detach()
    row, column = found.place
    gate = float(before[found.channel, row, column].sigmoid())
    ungated = project(Tiny(4, nn.Identity), image, stage=0, channel=found.channel)
    assert ungated.place == found.place
    share = gate * found.value / ungated.value
    torch.testing.assert_close(found.pixels, share * ungated.pixels)


@pytest.mark.parametrize("name", ["cifar_resnet20", "resnet18"])
def test_captum_finds_the_same(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=5).eval()
    side = max(32, model.min_size)
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    found = project(model, image, stage=1)

    class Unit(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            maps: Tensor = self.model.features(x)[1]
            return maps[:, found.channel, found.place[0], found.place[1]]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum().Deconvolution(Unit()).attribute(image.clone())
    torch.testing.assert_close(found.pixels, found.value * theirs[0].detach())


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite0", "convnext_tiny"])
def test_without_pooling_no_switch_is_said_to_steer(name: str) -> None:
    torch.manual_seed(0)
    model = build_model(name, num_classes=3)
    found = project(model, torch.randn(1, 3, 32, 32), stage=1)
    assert not found.switched
    assert found.pixels.shape == (3, 32, 32)
    assert found.pixels.isfinite().all()
    assert found.pixels.any()


def test_what_is_not_there_is_refused() -> None:
    model, image = Tiny(), images()
    with pytest.raises(UserError, match=r"channel 4 does not exist.*0 to 3"):
        project(model, image, stage=1, channel=4)
    silence(model.convs[2], 2)
    with pytest.raises(UserError, match="channel 2 is nowhere above zero"):
        project(model, image, stage=1, channel=2)
