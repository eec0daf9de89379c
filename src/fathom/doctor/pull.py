"""What moves the weights in a step, and what pulls on them besides the gradient: weight decay, and
the average that follows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fathom.doctor.observed import Task, Weights
from fathom.doctor.structure import weights_of


def steps_of(
    model: nn.Module, before: Sequence[Tensor], gradients: Mapping[str, float]
) -> dict[str, Weights]:
    """Layer -> norms of its gradient, of its weights before the step, and of the step.

    before: all parameters before the step, in the order of `model.parameters()`.
    """
    known = {id(p): b for p, b in zip(model.parameters(), before, strict=True)}
    weights = weights_of(model)
    if not weights:
        return {}
    old = [known[id(p)] for _, p in weights]
    norms = torch._foreach_norm(old)
    updates = torch._foreach_norm(torch._foreach_sub([p.detach() for _, p in weights], old))
    return {
        name: Weights(gradients.get(name, 0.0), float(norm), float(update))
        for (name, _), norm, update in zip(weights, norms, updates, strict=True)
    }


def decay_of(optimizer: torch.optim.Optimizer) -> float:
    """The share of the weights that weight decay alone takes away in a step; 0 where it cannot be
    told, as for Adam, whose L2 penalty is divided by the gradients' size.

    lr * wd for decoupled decay (Loshchilov and Hutter 2017, arXiv:1711.05101; the factor lr is
    PyTorch's), lr * wd / (1 - momentum) for SGD, whose momentum adds up the pull of many steps.
    """
    shares = [0.0]
    for group in optimizer.param_groups:
        share = float(group["lr"]) * float(group.get("weight_decay", 0.0))
        if isinstance(optimizer, torch.optim.SGD):
            momentum, dampening = float(group["momentum"]), float(group["dampening"])
            shares.append(share * (1 - dampening) / (1 - momentum))
        elif group.get("decoupled_weight_decay", False):
            shares.append(share)
    return max(shares)


class Pull:
    """Measures the decay of a moving average from one of its tensors, the largest that is trained.

    average = d * average + (1 - d) * weights; with both and the average before, d is the least
    squares solution. It is measured when the next step begins, when the average has surely
    followed, whether it does so before or after `Watch.step`.
    """

    def __init__(self, model: nn.Module, average: nn.Module) -> None:
        inner = average.module if isinstance(average, AveragedModel) else average
        followers = dict(inner.named_parameters())
        pairs = [
            (p, followers[name])
            for name, p in model.named_parameters()
            if p.requires_grad and name in followers
        ]
        self._pair = max(pairs, key=lambda pair: pair[0].numel(), default=None)
        self._was: Tensor | None = None

    def before_step(self, task: Task, *, keep: bool) -> None:
        """Measure, if the average was kept before the step before; keep it now, if so wanted."""
        if self._pair is None:
            return
        weights, average = (p.detach() for p in self._pair)
        if self._was is not None:
            apart = self._was - weights
            decay = float((apart * (average - weights)).sum() / apart.square().sum())
            if decay < 1 and not torch.equal(average, self._was):
                task.ema = decay
        self._was = average.clone() if keep else None
