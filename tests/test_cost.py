"""Counts against PyTorch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fathom
from fathom.cost import cost


@pytest.mark.parametrize("name", ["cifar_resnet20", "plain18", "resnet50"])
def test_flops_equal_torchs_counter(name: str) -> None:
    with torch.device("meta"):
        model = fathom.create_model(name).eval()
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 3, 64, 64))
    assert cost(model, image_size=64).flops == counter.get_total_flops()


def test_the_model_keeps_its_mode_and_its_statistics() -> None:
    model = fathom.create_model("cifar_resnet20").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    cost(model, image_size=32)
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
