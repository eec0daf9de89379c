"""Fresh networks of the CIFAR family at any depth: shortcuts, norms, weights and activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fathom.errors import require, require_choice
from fathom.experiments.initialisation import DEVIATIONS, draw
from fathom.layers import NORMS
from fathom.ledger.evidence import seeded
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from fathom.runtime import derive_seed

ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


@dataclass(frozen=True)
class Fresh:
    """A network of He et al. 2015 (arXiv:1512.03385, Section 4.2) before its training.

    depth: layers with weights, 6n + 2. residual: with shortcuts, else plain. norm, scheme,
    activation: names of `fathom.layers`, of `initialisation` and of ACTIVATIONS. Raises UserError
    for what there is not.
    """

    depth: int
    residual: bool
    norm: str = "batch"
    scheme: str = "Kaiming"
    activation: str = "relu"

    def __post_init__(self) -> None:
        require(
            self.depth >= 8 and self.depth % 6 == 2,
            f"depth is {self.depth}; the family has 6n + 2 layers: 8, 14, 20 and so on",
        )
        require_choice("norm", self.norm, NORMS)
        require_choice("scheme", self.scheme, DEVIATIONS)
        require_choice("activation", self.activation, ACTIVATIONS)

    @property
    def spec(self) -> dict[str, Any]:
        """What `cifar_resnet20` is built with."""
        blocks = (self.depth - 2) // 6
        return {"depths": [blocks] * 3, "residual": self.residual, "norm": self.norm}


def fresh_network(
    fresh: Fresh, seed: int, *, num_classes: int, in_channels: int
) -> ImageClassifier:
    """The network in float64, whose range is wide enough for what 152 layers do to a gradient.

    Twins, one plain and one residual, get the same weights from a seed.
    """
    with seeded(derive_seed(seed, "init")):
        model = build_model(
            "cifar_resnet20", num_classes=num_classes, in_channels=in_channels, **fresh.spec
        ).double()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        for place, module in enumerate(convolutions):
            module.weight.copy_(
                draw(module.weight.shape, fresh.scheme, seed, "gradient-flow", place)
            )
    use_activation(model, fresh.activation)
    return model.to(memory_format=torch.channels_last)  # in float64 twice as fast on a CPU


def use_activation(model: nn.Module, name: str) -> None:
    """Put the activation of this name in the place of every ReLU."""
    for module in list(model.modules()):
        for place, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, place, ACTIVATIONS[name]())
