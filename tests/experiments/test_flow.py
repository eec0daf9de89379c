"""What a pass leaves at each layer, against the network taken step by step."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.experiments.flow import Flow, first_images, flow, go_back, gradient_norms
from fathom.experiments.fresh import ACTIVATIONS, Fresh, fresh_network
from fathom.experiments.gradient_flow import profile
from fathom.models.base import ImageClassifier
from fathom.models.resnet import Block


def network(*, residual: bool, norm: str = "none", activation: str = "relu") -> ImageClassifier:
    fresh = Fresh(8, residual, norm, "Kaiming", activation)
    return fresh_network(fresh, 0, num_classes=3, in_channels=1)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 8, 8, generator=rng).double(), torch.arange(6) % 3


def maps_by_hand(model: ImageClassifier, images: Tensor) -> list[Tensor]:
    """The map behind every activation, of blocks of two convolutions without norms."""
    act = model.stem[1]  # type: ignore[index]
    found = [act(model.stem[0](images))]  # type: ignore[index]
    for stage in model.stages:
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            assert isinstance(block, Block)
            x = found[-1]
            first = act(block.branch[0](x))
            second = block.branch[2](first)
            passed = 0 if block.shortcut is None else block.shortcut(x)
            found += [first, act(second + passed)]
    return found


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("residual", [True, False])
def test_deviations_are_those_of_the_maps(
    activation: str, residual: bool, batch: tuple[Tensor, Tensor]
) -> None:
    model = network(residual=residual, activation=activation)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    found = flow(model, *batch)
    with torch.no_grad():
        maps = maps_by_hand(model, batch[0])
    assert found.activations == pytest.approx([float(m.std()) for m in maps])
    assert len(found.activations) == len(found.gradients) == 7


def test_gradients_are_those_of_the_mean_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    found = flow(network(residual=True, norm="batch"), *batch)
    model = network(residual=True, norm="batch").train()
    weights = [m.weight for m in model.modules() if isinstance(m, nn.Conv2d)]
    loss = F.cross_entropy(model(batch[0]), batch[1])
    for norm, size, weight, gradient in zip(
        found.gradients, found.weights, weights, torch.autograd.grad(loss, weights), strict=True
    ):
        assert norm == pytest.approx(float(gradient.square().sum().sqrt()))
        assert size == pytest.approx(float(weight.detach().square().sum().sqrt()))


def test_no_hook_is_left_behind(batch: tuple[Tensor, Tensor]) -> None:
    model = network(residual=True)
    flow(model, *batch)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_step_moves_a_layer_by_what_sgd_would(batch: tuple[Tensor, Tensor]) -> None:
    model = network(residual=False)
    before = [p.detach().clone() for p in model.parameters() if p.ndim == 4]
    told = flow(model, *batch).moved(0.1)
    gradients = [p.grad for p in model.parameters() if p.ndim == 4]
    after = [w - 0.1 * g for w, g in zip(before, gradients, strict=True) if g is not None]
    moved = [float((b - a).norm() / b.norm()) for b, a in zip(before, after, strict=True)]
    assert told == pytest.approx(moved)
    assert Flow((2.0,), (4.0,), (1.0,)).moved(0.5) == [0.25]


def test_the_experiment_sees_the_same_gradients_as_powers_of_ten(
    batch: tuple[Tensor, Tensor],
) -> None:
    model = network(residual=True)
    go_back(model, *batch)
    assert [10**power for power in profile(model)] == pytest.approx(gradient_norms(model))


def test_the_first_images_are_as_the_network_sees_them_and_classes_take_turns() -> None:
    batch = first_images("digits", 20)
    assert batch.images.shape == (20, 1, 8, 8)
    assert sorted(batch.targets[:10].tolist()) == list(range(10))
    assert torch.equal(first_images("digits", 4).images, batch.images[:4])
    assert abs(float(batch.images.mean())) < 0.2
    assert 0.8 < float(batch.images.std()) < 1.2
