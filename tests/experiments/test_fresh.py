"""Fresh networks: what is asked for is what is built, and twins share their weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.errors import UserError
from fathom.experiments.fresh import ACTIVATIONS, Fresh, fresh_network, use_activation
from fathom.experiments.initialisation import DEVIATIONS
from fathom.layers import NORMS
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model


def built(fresh: Fresh, seed: int = 0) -> ImageClassifier:
    return fresh_network(fresh, seed, num_classes=3, in_channels=1)


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(
    st.sampled_from([8, 14, 20]),
    st.booleans(),
    st.sampled_from(NORMS),
    st.sampled_from(list(ACTIVATIONS)),
)
def test_a_network_has_its_depth_its_norms_and_its_activations(
    depth: int, residual: bool, norm: str, activation: str
) -> None:
    model = built(Fresh(depth, residual, norm, "Kaiming", activation))
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth
    acts = [m for m in model.modules() if isinstance(m, type(ACTIVATIONS[activation]()))]
    assert len(acts) == depth - 1, "one behind every convolution"
    assert any(isinstance(m, nn.ReLU) for m in model.modules()) == (activation == "relu")
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == (norm == "batch")
    assert model(torch.randn(2, 1, 8, 8).double()).shape == (2, 3)


@pytest.mark.parametrize("scheme", DEVIATIONS)
def test_weights_have_the_deviation_of_their_scheme(scheme: str) -> None:
    model = built(Fresh(8, False, "none", scheme))
    wide = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 64]
    wanted = DEVIATIONS[scheme](64 * 9, 64 * 9)
    assert len(wide) == 1
    count = wide[0].weight.numel()
    assert float(wide[0].weight.detach().std()) == pytest.approx(
        wanted, rel=5 / math.sqrt(2 * count)
    )


def test_twins_share_their_weights_and_other_seeds_have_others() -> None:
    plain, residual, other = (
        [m.weight for m in built(Fresh(8, kind), seed).modules() if isinstance(m, nn.Conv2d)]
        for kind, seed in ((False, 0), (True, 0), (False, 1))
    )
    assert all(map(torch.equal, plain, residual))
    assert not any(map(torch.equal, plain, other))


def test_the_generator_of_the_process_is_left_alone() -> None:
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    built(Fresh(8, True))
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((10, True), "6n"),
        ((2, True), "6n"),
        ((8, True, "bach"), "norm 'bach' is none of batch"),
        ((8, True, "batch", "zero"), "scheme 'zero' is none of Kaiming"),
        ((8, True, "batch", "Kaiming", "elu"), "activation 'elu' is none of relu"),
    ],
)
def test_what_there_is_not_is_refused(asked: tuple[object, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Fresh(*asked)  # type: ignore[arg-type]


def test_an_activation_takes_the_place_of_every_relu_and_changes_nothing_else() -> None:
    model = build_model("cifar_resnet20", num_classes=3, in_channels=1)
    before = {name: type(module) for name, module in model.named_modules()}
    use_activation(model, "gelu")
    after = {name: type(module) for name, module in model.named_modules()}
    assert before.keys() == after.keys()
    changed = {name for name in before if before[name] is not after[name]}
    assert {before[name] for name in changed} == {nn.ReLU}
    assert {after[name] for name in changed} == {nn.GELU}
    assert len(changed) == 19
