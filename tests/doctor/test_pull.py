import copy

import pytest
import torch
from torch import nn

from fathom.doctor.observed import Task
from fathom.doctor.pull import Pull, decay_of, steps_of

from .checks.made import Tiny, train


def shrinks(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, steps: int) -> float:
    """The share that a last step without a gradient takes away, literally."""
    for _ in range(steps):
        before = float(parameter.detach())
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    return 1 - float(parameter.detach()) / before


@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_decay_of_sgd_adds_up_over_its_momentum(momentum: float) -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=0.1, weight_decay=1e-4, momentum=momentum)
    assert decay_of(optimizer) == pytest.approx(shrinks(optimizer, weight, 60), rel=1e-3)


def test_decay_of_adamw_is_decoupled_and_that_of_adam_untold() -> None:
    weight = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=1e-3)
    assert decay_of(optimizer) == pytest.approx(shrinks(optimizer, weight, 3), rel=1e-6)
    assert decay_of(torch.optim.Adam([weight], lr=0.1, weight_decay=1e-3)) == 0


def test_norms_of_a_step() -> None:
    model = Tiny()
    before = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        model.head.weight.mul_(0.5)
    found = steps_of(model, before, {"head": 2.0})
    norm = float(before[-2].norm())
    assert found["head"].norm == pytest.approx(norm)
    assert found["head"].update == pytest.approx(norm / 2)
    assert (found["head"].gradient, found["features.0"].update) == (2.0, 0.0)
    assert steps_of(nn.ReLU(), [], {}) == {}


def test_the_decay_of_an_average_is_measured_in_training() -> None:
    model = Tiny()
    seen = train(model, steps=12, average=copy.deepcopy(model), decay=0.97, every=1)
    assert seen.task.ema == pytest.approx(0.97, abs=1e-4)


def test_an_average_that_stands_still_tells_nothing() -> None:
    model = Tiny()
    pull, task = Pull(model, copy.deepcopy(model)), Task()
    for _ in range(3):
        pull.before_step(task, keep=True)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(1.0)
    assert task.ema is None
