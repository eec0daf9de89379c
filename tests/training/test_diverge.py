"""The first layer that goes."""

import torch
from torch import nn

from fathom.training.diverge import first_bad_layer


class Overflow(nn.Module):
    """Multiplies into infinity."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mul(1e38).mul(1e38)


def test_the_first_layer_that_overflows_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), Overflow(), nn.Linear(2, 2))
    assert first_bad_layer(model, torch.ones(3, 2)) == "layer 1 (its output)"


def test_a_weight_that_is_no_number_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    layer = model[1]
    assert isinstance(layer, nn.Linear)
    nn.init.constant_(layer.weight, torch.nan)
    assert first_bad_layer(model, torch.ones(3, 2)).startswith("layer 1 (its weight")


def test_bad_input_is_not_blamed_on_a_layer() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    assert first_bad_layer(model, torch.tensor([[torch.inf, 0]])) == "the input images themselves"
    assert "loss" in first_bad_layer(model, torch.zeros(1, 2))
