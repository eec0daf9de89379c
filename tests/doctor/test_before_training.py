"""`fathom.watch(...).check()`: what can be told before the first step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import fathom
from fathom.errors import UserError
from tests.doctor.test_feed import Sensor


def photographs() -> Tensor:
    """(160, 3, 32, 32) smooth pictures in [0, 1]."""
    coarse = torch.rand(160, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    pixels = nn.functional.interpolate(coarse, size=32, mode="bilinear")
    return (0.45 + 1.2 * (pixels - 0.5)).clamp(0, 1)


def watched(images: Tensor, targets: Tensor | None = None) -> fathom.watch:
    """A network whose batch norm has learnt pictures from -1 to 1, and a loader of images."""
    model = Sensor(photographs())
    wanted = torch.arange(len(images)) % 2 if targets is None else targets
    loader = DataLoader(TensorDataset(images, wanted), batch_size=32, shuffle=True)
    return fathom.watch(model, torch.optim.SGD(model.parameters(), lr=0.01), train=loader)


def test_images_as_the_weights_expect_them_pass() -> None:
    verdict = watched(photographs() * 2 - 1).check()
    assert verdict.healthy
    assert str(verdict) == (
        "healthy: nothing wrong was found (before the first step, by 128 images)"
    )


def test_the_wrong_range_is_named_before_the_first_step() -> None:
    watch = watched(photographs() * 255)
    verdict = watch.check()
    assert [finding.cause for finding in verdict.findings] == ["input-range"]
    assert "mean, std = [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]" in str(verdict)
    assert watch.steps == 0


def test_it_leaves_weights_and_random_states_as_they_were() -> None:
    watch = watched(photographs())
    before = {name: value.clone() for name, value in watch.model.state_dict().items()}
    torch.manual_seed(3)
    watch.check()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(drawn, torch.rand(1))
    assert all(torch.equal(before[k], v) for k, v in watch.model.state_dict().items())
    assert watch.model.training


def test_what_cannot_be_checked_is_refused() -> None:
    model = nn.Linear(2, 2)
    watch = fathom.watch(model, torch.optim.SGD(model.parameters(), lr=0.1))
    with pytest.raises(UserError, match="train="):
        watch.check()
    with pytest.raises(UserError, match="go on without"):
        watched(photographs(), torch.rand(160)).check()
    begun = watched(photographs())
    begun.steps = 1
    with pytest.raises(UserError, match="before the first step"):
        begun.check()
