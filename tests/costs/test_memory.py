"""What is kept and what is alive, against autograd and the allocator on real tensors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

import fathom
from fathom.costs.memory import memory
from fathom.models.base import TrainingLogits

NAMES = ["cifar_resnet20", "cifar_densenet40_k12", "mobilenet_v2", "convnext_tiny", "googlenet"]


def network(name: str) -> fathom.ImageClassifier:
    torch.manual_seed(0)
    return fathom.create_model(name, num_classes=10)


@pytest.mark.parametrize("name", NAMES)
def test_kept_bytes_are_autograds(name: str) -> None:
    """The same hooks on a real pass, storages counted once, parameters and buffers left out."""
    model = network(name).train()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    shape = (2, 3, 64, 64)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = model(torch.randn(shape))
    expected = sum(t.untyped_storage().nbytes() for ptr, t in kept.items() if ptr not in own)
    found = sum(memory(model, shape).saved.values())
    assert out is not None
    assert found == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_the_peak_is_the_allocators(name: str) -> None:
    """PyTorch's own record of every allocation in a training step, added up in order of time."""
    model = network(name).train()
    shape = (4, 3, 64, 64)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        out = model(torch.randn(shape))
        outs = (out.logits, *out.auxiliary) if isinstance(out, TrainingLogits) else (out,)
        torch.stack([o.sum() for o in outs]).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    optimizer.zero_grad(set_to_none=True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        step()
    events = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    alive = most = 0
    for _, change in changes:
        alive += change
        most = max(most, alive)
    fixed = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
    fixed += sum(p.numel() * p.element_size() for p in model.parameters())
    assert memory(model, shape).training == pytest.approx(fixed + most, rel=0.05)


def test_evaluation_needs_no_more_than_two_maps_and_the_weights() -> None:
    model = nn.Sequential(*(nn.Conv2d(4, 4, 3, padding=1, bias=False) for _ in range(5)))
    found = memory(model, (1, 4, 16, 16))
    one = 4 * 16 * 16 * 4
    weights = 5 * 4 * 4 * 9 * 4
    assert found.inference == weights + 3 * one  # the images stay alive with their caller
    assert sum(found.saved.values()) == 5 * one  # what each convolution read
