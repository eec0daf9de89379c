"""Weight decay towards pretrained weights instead of towards zero."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from fathom.models.base import ImageClassifier


class Anchor:
    """Where the pretrained weights of a network started, and the pull back to it.

    weights += lr * strength * (start - weights) after every step, with the learning rate of their
    group. It acts on the matrices and kernels that weight decay acts on, but for the classifiers,
    which are new and decay to zero.

    Source: L2-SP of Li et al. 2018, arXiv:1802.01483, Section 3.2. Departure: decoupled from the
    gradient, as in AdamW (arXiv:1711.05101), so that it means the same with every optimizer.
    """

    def __init__(self, model: ImageClassifier, strength: float) -> None:
        self.strength = strength
        new = {id(layer.weight) for layer in model.classifiers()}
        self.start = {
            name: parameter.detach().clone()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad and parameter.ndim > 1 and id(parameter) not in new
        }
        self._names = {id(p): name for name, p in model.named_parameters() if name in self.start}

    def holds(self, parameter: Tensor) -> bool:
        """Whether a parameter is pulled back."""
        return id(parameter) in self._names

    @torch.no_grad()
    def pull(self, optimizer: torch.optim.Optimizer) -> None:
        """Pull every weight a little back to its start."""
        for group in optimizer.param_groups:
            held = [p for p in group["params"] if self.holds(p)]
            if held:
                starts = [self.start[self._names[id(p)]] for p in held]
                torch._foreach_lerp_(held, starts, group["lr"] * self.strength)

    def restore(self, start: Mapping[str, Tensor]) -> None:
        """Take over the start that a checkpoint holds."""
        for name, value in self.start.items():
            value.copy_(start[name])
