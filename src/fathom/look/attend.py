"""Which places of a map speak for a class."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.costs.trace import in_mode
from fathom.models.base import ImageClassifier


@dataclass(frozen=True)
class Attention:
    """heat: (H, W) float32 on the CPU, never below zero, one value for each place of the map.

    weights: (C,), how much each channel of the map speaks for the class. logit: the class's own.
    """

    heat: Tensor
    weights: Tensor
    logit: float

    @property
    def silent(self) -> bool:
        """Whether no place speaks for the class."""
        return not bool(self.heat.any())

    @property
    def half(self) -> float:
        """The share of the map that holds half of the heat, in its hottest places; 0 if silent."""
        if self.silent:
            return 0.0
        falling = self.heat.flatten().sort(descending=True).values.double().cumsum(0)
        places = int((falling < falling[-1] / 2).sum()) + 1
        return places / self.heat.numel()


def grad_cam(model: ImageClassifier, images: Tensor, *, target: int, stage: int) -> Attention:
    """(1, C, S, S) normalised image -> where the map after a stage speaks for a class.

    weights[k] is the mean over all places of the gradient of the class's logit by channel k
    (equation 1); heat is what is above zero of the channels' sum, so weighted (equation 2). stage
    counts from 0; the paper takes the last convolutional map.

    Source: Selvaraju et al. 2017, arXiv:1610.02391, Section 3.
    """
    with in_mode(model, training=False), torch.enable_grad():
        maps = model.features(images.detach().clone().requires_grad_())
        logit = model.head(maps[-1])[0, target]
        (gradient,) = torch.autograd.grad(logit, maps[stage])
    weights = gradient[0].mean((1, 2))
    heat = torch.einsum("k,khw->hw", weights, maps[stage][0].detach()).clamp_min(0)
    return Attention(heat.float().cpu(), weights.float().cpu(), float(logit.detach()))
