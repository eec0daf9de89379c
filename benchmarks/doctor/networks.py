"""Networks of the trial. Those of the first half set the thresholds, the others judge them.

They differ in what the doctor might lean on: with and without shortcuts, batch norm, group norm,
dropout, modules or functions, of Fathom's zoo or somebody else's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fathom
from fathom.models.registry import build_model

Build = Callable[[int, int], nn.Module]


class PlainCNN(nn.Module):
    """Six convolutions without norms and two linear layers with dropout, as tutorials have them."""

    def __init__(self, in_channels: int, num_classes: int, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for width in (32, 64, 96):
            for _ in range(2):
                layers += [nn.Conv2d(channels, width, 3, padding=1), act()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(96 * 4, 128),
            act(),
            nn.Dropout(0.3),
            nn.Linear(128, num_classes),
        )
        _kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits


class FunctionalNet(nn.Module):
    """A residual network with group norm whose activations are functions, which no hook sees; a
    plain one without shortcuts."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        *,
        width: int = 16,
        blocks: int = 5,
        shortcuts: bool = True,
    ) -> None:
        super().__init__()
        self.shortcuts = shortcuts
        self.first = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.convs = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, bias=False) for _ in range(2 * blocks)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2 * blocks + 1))
        self.drop = 0.1
        self.out = nn.Linear(width, num_classes)
        _kaiming(self)

    def forward(self, images: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.first(images)))
        for place in range(0, len(self.convs), 2):
            branch = F.relu(self.norms[place + 1](self.convs[place](x)))
            branch = self.norms[place + 2](self.convs[place + 1](branch))
            x = F.relu(x + branch if self.shortcuts else branch)
            if place == 4:
                x = F.max_pool2d(x, 2)
        x = F.dropout(x.mean((2, 3)), self.drop, self.training)
        logits: Tensor = self.out(x)
        return logits


def _kaiming(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _zoo(name: str, **spec: object) -> Build:
    def build(in_channels: int, num_classes: int) -> nn.Module:
        return build_model(name, in_channels=in_channels, num_classes=num_classes, **spec)

    return build


def _lite(in_channels: int, num_classes: int) -> nn.Module:
    """EfficientNet-Lite0 with its weights: its own classifier for 1,000 classes, else a new one."""
    assert in_channels == 3, "the weights are for colours"
    model: nn.Module = fathom.create_model(
        "efficientnet_lite0", weights="lite", num_classes=num_classes
    )
    return model


_HALVES: dict[str, dict[str, Build]] = {
    "fit": {
        "resnet20": _zoo("cifar_resnet20"),
        "plain20": _zoo("cifar_plain20"),
        "cnn": PlainCNN,
    },
    "held": {
        "densenet": _zoo("cifar_densenet40_k12", depths=(4, 4, 4)),
        "mobilenet": _zoo("mobilenet_v2", stem="cifar", width=0.5, depths=(1, 2, 2, 2, 1, 1, 1)),
        "functional": FunctionalNet,
    },
}
_PRETRAINED: dict[str, dict[str, Build]] = {"fit": {}, "held": {"lite0": _lite}}
_PLAIN: dict[str, Build] = {
    "plain56": _zoo("cifar_plain56"),
    "plain functional": lambda in_channels, num_classes: FunctionalNet(
        in_channels, num_classes, blocks=22, shortcuts=False
    ),
}
DEEPER = {"plain20": "plain56", "functional": "plain functional"}  # as plain as degradation needs


def networks(half: str, *, pretrained: bool = False) -> dict[str, Build]:
    """The networks of a half, "fit" or "held", that start afresh, or those that come trained."""
    return (_PRETRAINED if pretrained else _HALVES)[half]


def has(model: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> bool:
    """Whether a network has such a layer."""
    return any(isinstance(module, kind) for module in model.modules())


def build(name: str, in_channels: int, num_classes: int, *, seed: int) -> nn.Module:
    """A network with the weights of a seed."""
    known = [*_HALVES.values(), *_PRETRAINED.values(), _PLAIN]
    torch.manual_seed(seed)
    return next(found[name] for found in known if name in found)(in_channels, num_classes)
