import pytest
import torch
import torchvision
from timm.layers import drop
from torch import Tensor, nn

from fathom import regularize
from fathom.doctor.structure import (
    any_training,
    drop_rate,
    hang_on,
    kind_of,
    read_structure,
    ways,
    weights_of,
)
from fathom.models.registry import build_model

from .checks.made import Tiny


class Dense(nn.Module):
    """Three layers behind a stem, each of which sees all before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.convs = nn.ModuleList(nn.Conv2d(4 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.head = nn.Linear(16, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for conv in self.convs:
            x = torch.cat([x, conv(x)], 1)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


class Inception(nn.Module):
    """Branches of one and of three convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.short = nn.Conv2d(4, 4, 1)
        self.long = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)))
        self.head = nn.Linear(8, 2)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = torch.cat([self.short(x), self.long(x)], 1)
        logits: Tensor = self.head(x.mean((2, 3)))
        return logits


def test_a_plain_network_has_one_way() -> None:
    assert ways(Tiny()(torch.randn(2, 1, 8, 8))) == (4, 4)
    assert ways(build_model("cifar_plain20")(torch.randn(2, 3, 32, 32))) == (20, 20)


@pytest.mark.parametrize("network", ["cifar_plain20", "cifar_resnet20"])
def test_mixed_precision_changes_no_way(network: str) -> None:
    model, images = build_model(network), torch.randn(2, 3, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = model(images)
    assert ways(mixed) == ways(model(images)) != (0, 0)


def test_shortcuts_of_a_residual_network_leave_stem_and_head() -> None:
    assert ways(build_model("cifar_resnet20")(torch.randn(2, 3, 32, 32))) == (20, 2)


def test_a_dense_network_reaches_its_head_from_its_stem() -> None:
    assert ways(Dense()(torch.randn(2, 3, 8, 8))) == (5, 2)


def test_branches_are_counted_one_by_one() -> None:
    assert ways(Inception()(torch.randn(2, 3, 8, 8))) == (5, 3)


def test_a_way_begins_behind_frozen_layers() -> None:
    model = Tiny()
    model.features.requires_grad_(requires_grad=False)
    assert ways(model(torch.randn(2, 1, 8, 8))) == (1, 1)
    with torch.no_grad():
        assert ways(model(torch.randn(2, 1, 8, 8))) == (0, 0)


def test_facts_of_the_layers() -> None:
    model = Tiny()
    model.head.bias.requires_grad = False
    optimizer = torch.optim.SGD(list(model.features.parameters()), lr=0.1)
    seen = read_structure(model, optimizer)
    kinds = [layer.kind for layer in seen.layers]
    assert kinds == ["conv", "norm", "act"] * 3 + ["dropout", "linear"]
    first, head = seen.layers[0], seen.layers[-1]
    assert (first.fan_in, first.weights, first.params) == (9, 72, 80)
    assert (head.fan_in, head.trainable, head.optimised, head.frozen) == (64, True, False, True)
    assert seen.unoptimised_params == 640
    assert [name for name, _ in weights_of(model)][-1] == "head"


def test_fan_in_of_grouped_and_transposed_convolutions() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ConvTranspose2d(8, 4, 2))
    seen = read_structure(model, torch.optim.SGD(model.parameters(), lr=0.1))
    assert [layer.fan_in for layer in seen.layers] == [9, 32]


def test_containers_are_nothing_to_look_at() -> None:
    assert kind_of(nn.Sequential()) is None
    assert kind_of(nn.GroupNorm(1, 1)) == "norm"


def test_everything_that_drops_is_known_with_its_rate() -> None:
    known: list[nn.Module] = [
        nn.Dropout(0.25), nn.Dropout2d(0.25), nn.AlphaDropout(0.25),
        regularize.Dropout(0.25), regularize.PlainDropout(0.25),
        regularize.StochasticDepth(0.25), regularize.DropBlock(0.25),
        torchvision.ops.StochasticDepth(0.25, "row"), torchvision.ops.DropBlock2d(0.25, 3),
        drop.DropPath(0.25), drop.DropBlock2d(0.25),
    ]  # fmt: skip
    assert [drop_rate(module) for module in known] == [0.25] * len(known)
    assert {kind_of(module) for module in known} == {"dropout"}
    assert drop_rate(drop.DropPath(0.0)) == 0
    assert drop_rate(nn.ReLU()) is None


def test_the_mode_of_a_model_is_that_of_what_has_two() -> None:
    model = nn.Sequential(nn.Linear(2, 2), regularize.StochasticDepth(0.5))
    assert any_training(model)
    model[1].eval()
    assert any_training(model)  # as where only the norms are put into evaluation mode
    assert not any_training(model.eval())
    model[1].train()
    assert any_training(model)
    assert any_training(nn.Sequential(nn.Linear(2, 2)))


def test_what_hangs_on_weights_is_asked_without_changing_a_bit() -> None:
    torch.manual_seed(0)
    used, unused = nn.Linear(3, 3), nn.Linear(3, 3)
    x = torch.randn(4, 3)
    kept = [p.clone() for p in (*used.parameters(), *unused.parameters())]

    def answers() -> Tensor:
        unused(x)
        logits: Tensor = used(x)
        return logits

    assert hang_on([unused.weight, used.weight], answers)
    assert hang_on([used.weight, used.weight], answers)  # shared by two layers
    assert not hang_on([unused.weight], answers)
    for before, after in zip(kept, (*used.parameters(), *unused.parameters()), strict=True):
        assert torch.equal(before, after)
