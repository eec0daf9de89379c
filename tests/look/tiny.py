"""A network small enough to be computed by hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fathom.classifier import Classifier
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from tests.images import CPU

SIDE = 16
NAMES = ("cat", "dog", "12", "bee", "ant")
PREPROCESS = Preprocess(SIDE, SIDE, 3, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


class Tiny(ImageClassifier):
    """conv, ReLU, max pooling; conv, ReLU; conv, ReLU: a stem and two stages."""

    block_types = (nn.Sequential,)

    def __init__(self, seed: int = 0, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__(num_classes=len(NAMES), in_channels=3)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            conv1, conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, padding=1)
            conv3 = nn.Conv2d(8, 4, 3, stride=2, padding=1)
            self.convs = conv1, conv2, conv3
            self.stem = nn.Sequential(conv1, nn.ReLU(inplace=True), nn.MaxPool2d(2, 2))
            self.stages = nn.ModuleList((nn.Sequential(conv2, act()), nn.Sequential(conv3, act())))
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(NAMES))
            )


def classifier(seed: int = 0) -> Classifier:
    """The network, ready to be asked."""
    return Classifier(Tiny(seed), NAMES, PREPROCESS, CPU)


def view(seed: int = 0) -> Tensor:
    """(3, 16, 16) uint8 of seeded noise."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, SIDE, SIDE), generator=rng, dtype=torch.uint8)


def images(seed: int = 0) -> Tensor:
    """(1, 3, 16, 16) as the network takes them."""
    return PREPROCESS.normalise(view(seed)[None])


def silence(conv: nn.Conv2d, channel: int) -> None:
    """Nothing excites the channel any more."""
    assert conv.bias is not None
    with torch.no_grad():
        conv.bias[channel] = -100


def untouched(model: nn.Module) -> object:
    """All that looking must leave as it was: modes, weights, gradients, hooks."""
    return (
        [module.training for module in model.modules()],
        [float(tensor.double().sum()) for tensor in model.state_dict().values()],
        [parameter.grad is None for parameter in model.parameters()],
        [parameter.requires_grad for parameter in model.parameters()],
        [
            len(hooks)
            for module in model.modules()
            for hooks in (
                module._forward_hooks,
                module._forward_pre_hooks,
                module._backward_hooks,
                module._backward_pre_hooks,
            )
        ],
    )
