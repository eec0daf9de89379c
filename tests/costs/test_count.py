"""Counts against PyTorch's own counter, torchvision's declarations, and by hand."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import fathom
from fathom.costs import Cost, cost
from fathom.errors import UserError

TORCHVISION = [
    "inception_v3",
    "mobilenet_v3_large",
    "regnet_y_400mf",
    "shufflenet_v2_x1_0",
    "squeezenet1_0",
    "mnasnet1_0",
]
TIMM = [
    "ghostnet_100",
    "res2net50_26w_4s",
    "dm_nfnet_f0",
    "hrnet_w18_small",
    "cspresnet50",
    "xception41",
]


def torch_count(model: nn.Module, side: int, channels: int = 3) -> int:
    """Operations that PyTorch's counter finds in an evaluation pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.zeros(1, channels, side, side, device=next(model.parameters()).device))
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", fathom.list_models())
def test_every_network_of_the_zoo(name: str) -> None:
    card = fathom.model_card(name)
    with torch.device("meta"):
        model = fathom.create_model(name)
    found = cost(model, image_size=card.image_size)
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.params == sum(layer.params for layer in found.layers) + idle_params(model, found)
    assert found.flops == torch_count(model, card.image_size)
    assert found.macs == sum(layer.macs for layer in found.layers)
    assert found.activation_bytes >= sum(layer.activation_bytes for layer in found.layers)


def idle_params(model: nn.Module, found: Cost) -> int:
    """Parameters of what an evaluation pass never runs."""
    return sum(p.numel() for path in found.not_run for p in model.get_submodule(path).parameters())


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_networks_that_the_zoo_lacks(name: str) -> None:
    settings = {"init_weights": False} if name == "inception_v3" else {}
    model = torchvision.models.get_model(name, **settings)
    weights = torchvision.models.get_model_weights(name).DEFAULT
    side = weights.transforms().crop_size[0]
    found = cost(model, image_size=side)
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.flops == torch_count(model, side)
    assert found.macs / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.0006)


@pytest.mark.parametrize("name", TIMM)
def test_timms_networks_that_the_zoo_lacks(name: str) -> None:
    model = timm.create_model(name)
    found = cost(model, image_size=224)
    assert found.params == sum(p.numel() for p in model.parameters())
    assert found.flops == torch_count(model, 224)


def declared() -> list[str]:
    return [name for name in fathom.list_models() if fathom.model_card(name).torchvision]


@pytest.mark.parametrize("name", declared())
def test_cards_agree_with_torchvisions_declarations(name: str) -> None:
    """`_ops` counts multiply-adds, in billions with three decimals, at the weights' own crop."""
    card = fathom.model_card(name)
    for weights in torchvision.models.get_model_weights(card.torchvision):
        if weights.transforms().crop_size[0] == card.image_size:
            # Rounded up or down, and torchvision's counter adds the biases of linear layers.
            assert card.macs / 1e9 == pytest.approx(weights.meta["_ops"], abs=0.0016)
            assert card.params == weights.meta["num_params"]


class Odd(nn.Module):
    """One of everything that is easily miscounted, on (N, 4, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped = nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8, bias=False)
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False)
        self.mix = nn.Linear(4, 4)
        self.free = nn.Parameter(torch.zeros(4, 4))
        self.never = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(F.relu(self.grouped(x)))
        x = self.up(x).permute(0, 2, 3, 1)
        x = self.mix(self.mix(x))  # shared: parameters once, work twice
        return torch.matmul(x, self.free).mean((1, 2))


def test_every_kind_of_layer_by_hand() -> None:
    found = cost(Odd(), image_size=8, batch_size=2)
    images, pixels, doubled = 2, 8 * 8, 16 * 16
    by_hand = {
        "grouped": images * pixels * 8 * 2 * 9,
        "depthwise": images * pixels * 8 * 9,
        "up": images * pixels * 8 * 4 * 4,
        "mix": 2 * images * doubled * 4 * 4,
        "forward": images * doubled * 4 * 4,
    }
    layers = {layer.name.split(" ")[0]: layer for layer in found.layers}
    assert {name: layers[name].macs for name in by_hand} == by_hand
    assert found.macs == sum(by_hand.values())
    assert found.flops == 2 * found.macs
    assert layers["mix"].calls == 2
    assert layers["mix"].params == 20
    assert layers["forward"].params == 16
    assert found.not_run == ("never",)
    assert layers["forward"].output_shape == (2, 4)
    assert found.params == sum(p.numel() for p in Odd().parameters())


def test_weights_in_bytes() -> None:
    with torch.device("meta"):
        found = cost(fathom.create_model("vgg16"), image_size=224)
    assert found.weight_bytes == {
        "float32": 4 * 138_357_544,
        "bfloat16": 2 * 138_357_544,
        "int8": 138_357_544,
    }
    assert round(found.weight_bytes["float32"] / 2**20) == 528
    assert round(found.weight_bytes["float32"] / 1e6) == 553


def test_the_model_keeps_its_modes_its_values_and_its_device() -> None:
    model = fathom.create_model("cifar_resnet20").train()
    model.stem.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cost(model, image_size=32)
    assert model.training
    assert not model.stem.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert not model._forward_hooks
    assert not model.stem._forward_pre_hooks


class Asks(nn.Module):
    """A model whose path depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x if x.mean().item() > 0 else -x


def test_what_cannot_be_traced_names_the_operation() -> None:
    with pytest.raises(
        UserError, match=r"cannot trace .*forward.*images of 1x3x8x8.*(item|_local_scalar)"
    ):
        cost(Asks(), image_size=8)
    with pytest.raises(UserError, match=r"cannot trace conv \(Conv2d\)"):
        cost(Asks(), image_size=2)
    with pytest.raises(UserError, match="at least 1"):
        cost(Asks(), image_size=0)
    with pytest.raises(UserError, match="give in_channels"):
        cost(nn.Linear(3, 3), image_size=4)


def test_costs_go_into_json() -> None:
    import json

    found = cost(fathom.create_model("cifar_resnet20"), image_size=(32, 40), batch_size=3)
    values = json.loads(json.dumps(found.to_dict()))
    for key in ("params", "macs", "flops", "weight_bytes", "activation_bytes", "receptive_field"):
        assert values[key]
    assert values["image_size"] == [32, 40]
    assert values["layers"][0]["output_shape"] == [3, 16, 32, 40]
