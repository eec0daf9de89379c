"""What a network costs: parameters and multiply-adds, counted on the meta device.

MACs are multiply-adds of convolutions and linear layers; FLOPs are 2 x MACs. Norms, activations and
pooling are left out, as in the papers' own tables.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Cost:
    """Totals for one image: trainable parameters and multiply-adds."""

    params: int
    macs: int

    @property
    def flops(self) -> int:
        """Two operations for every multiply-add."""
        return 2 * self.macs


def cost(model: nn.Module, *, image_size: int, in_channels: int = 3) -> Cost:
    """Count one image of (in_channels, image_size, image_size) through the model.

    The model may live on the meta device, where counting needs neither memory nor arithmetic. It
    runs once, in evaluation mode, and is left in the mode it came in.
    """
    total = 0

    def count(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output[0].numel() * module.in_features

    handles = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    training = model.training
    device = next(model.parameters()).device
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, in_channels, image_size, image_size, device=device))
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return Cost(sum(p.numel() for p in model.parameters() if p.requires_grad), total)
