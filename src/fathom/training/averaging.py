"""Exponential moving average of weights, with its decay warmed up."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Average:
    """A second copy of the model that follows it: average = d * average + (1 - d) * weights.

    d = min(decay, (1 + t) / (10 + t)) at update t, so that a short run is not an average over its
    random start. Buffers such as batch-norm statistics are averaged likewise; integers are copied.
    Source: the warm-up is that of TensorFlow's ExponentialMovingAverage(num_updates).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.updates = 0

    def decay_now(self) -> float:
        """The decay of the next update."""
        return min(self.decay, (1 + self.updates) / (10 + self.updates))

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step towards the model's weights."""
        weight = 1 - self.decay_now()
        floating: tuple[list[Tensor], list[Tensor]] = ([], [])
        pairs = zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
        for mine, theirs in pairs:
            if mine.is_floating_point():
                floating[0].append(mine)
                floating[1].append(theirs)
            else:
                mine.copy_(theirs)
        torch._foreach_lerp_(floating[0], floating[1], weight)
        self.updates += 1
