"""The average against its recursion, written out."""

import pytest
import torch
from torch import nn

from fathom.training.averaging import Average


def test_the_average_follows_its_recursion_with_a_warm_decay() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(model, decay=0.5)
    expected = {k: v.clone().double() for k, v in model.state_dict().items()}
    for t in range(20):
        with torch.no_grad():
            for p in model.parameters():
                p.add_(torch.randn_like(p))
        model(torch.randn(5, 3))
        decay = min(0.5, (1 + t) / (10 + t))
        assert average.decay_now() == pytest.approx(decay)
        average.update(model)
        for k, v in model.state_dict().items():
            if v.is_floating_point():
                expected[k] = decay * expected[k] + (1 - decay) * v.double()
            else:
                expected[k] = v.double()
    for k, v in average.model.state_dict().items():
        torch.testing.assert_close(v.double(), expected[k], rtol=1e-5, atol=1e-6)
    assert not any(p.requires_grad for p in average.model.parameters())
    assert not average.model.training
