"""Measurements: plausible on any machine, and of the thing that they name."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

import fathom
from fathom.costs.effective import effective_field
from fathom.costs.measure import filling_batch, matmul_flops, speed, training_memory
from fathom.errors import UserError
from fathom.runtime import choose_runtime

CPU = choose_runtime("cpu")


class Sleeper(nn.Module):
    """Takes a known time for an image, and a batch the longer the larger."""

    def __init__(self, fixed: float, each: float) -> None:
        super().__init__()
        self.fixed, self.each = fixed, each

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(self.fixed + self.each * len(x))
        return x


def test_the_median_is_the_time_of_a_pass() -> None:
    found = speed(Sleeper(0.02, 0), (4, 3, 2, 2), CPU, flops=10, rate=1e3)
    assert 0.02 <= found.seconds < 0.03
    assert found.low <= found.seconds <= found.high
    assert found.images_per_second == pytest.approx(4 / found.seconds)
    assert found.share == pytest.approx(4 * 10 / found.seconds / 1e3)


def test_a_batch_fills_the_machine_when_more_gains_nothing() -> None:
    found = filling_batch(Sleeper(0.004, 0.001), (1, 3, 2, 2), CPU, image_bytes=1)
    assert found in (32, 64, 128)
    assert filling_batch(Sleeper(0, 0.002), (1, 3, 2, 2), CPU, image_bytes=1) == 1


def test_the_machine_multiplies() -> None:
    assert 1e9 < matmul_flops(CPU) < 1e14


def test_peak_memory_counts_what_a_step_needs() -> None:
    """A wide layer whose weights, gradient and momentum, and whose maps, are known."""
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Flatten(1), nn.LazyLinear(4)
    )
    model(torch.zeros(1, 3, 64, 64))
    shape = (32, 3, 64, 64)
    try:
        found = training_memory(model, shape, CPU)
    except UserError as error:
        pytest.skip(str(error))
    estimate = fathom.cost(model, image_size=64, batch_size=32).training_bytes
    # The process's own bookkeeping and oneDNN's code come on top of so small a network.
    assert estimate * 0.9 < found < estimate + 150e6


def test_the_effective_field_is_a_bell_inside_the_theoretical_one() -> None:
    """Luo et al. 2016, arXiv:1701.04128: it fades from the middle."""
    torch.manual_seed(0)
    model = fathom.create_model("cifar_resnet20")
    found = effective_field(model, image_size=96, samples=8)
    assert found.theoretical is not None
    assert found.theoretical.size == (81, 81)
    assert 0 < found.size < 81
    assert found.heat.max() == 1
    middle = found.heat[38:58, 38:58].mean()
    rim = found.heat.clone()
    rim[18:78, 18:78] = 0
    assert rim.sum() / (96**2 - 60**2) < middle / 10
    again = effective_field(model, image_size=96, samples=8)
    assert torch.equal(found.heat, again.heat)
