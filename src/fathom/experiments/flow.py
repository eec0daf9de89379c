"""One pass through a fresh network, forward and back, and what it leaves at each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fathom.data.batches import Batch
from fathom.experiments.arms import comparing
from fathom.experiments.cell import Cell
from fathom.experiments.fresh import ACTIVATIONS
from fathom.experiments.make import make_setting
from fathom.experiments.nouns import Arm
from fathom.models.base import ImageClassifier
from fathom.runtime import choose_runtime
from fathom.training.setup import load_data

IMAGES = 16  # whose gradient is taken


@dataclass(frozen=True)
class Flow:
    """What a pass left, from the image to the logits.

    gradients, weights: the norms of each convolution's weights' gradient, and of the weights
    themselves. activations: the standard deviation behind each activation, over images, channels
    and pixels; the family has one for every convolution.
    """

    gradients: tuple[float, ...]
    weights: tuple[float, ...]
    activations: tuple[float, ...]

    def moved(self, lr: float) -> list[float]:
        """By how much of its norm a first step of SGD would move the weights of each layer."""
        pairs = zip(self.gradients, self.weights, strict=True)
        return [lr * gradient / weight for gradient, weight in pairs]


def flow(model: ImageClassifier, images: Tensor, targets: Tensor) -> Flow:
    """What one training pass for the mean cross entropy of (N, C, H, W) images leaves."""
    deviations: list[float] = []

    def keep(module: nn.Module, inputs: object, output: Tensor) -> None:
        deviations.append(float(output.detach().std()))  # now: what follows may change it in place

    kinds = tuple(type(make()) for make in ACTIVATIONS.values())
    hooks = [m.register_forward_hook(keep) for m in model.modules() if isinstance(m, kinds)]
    go_back(model, images, targets)
    for hook in hooks:
        hook.remove()
    weights = [float(module.weight.detach().double().norm()) for module in _convolutions(model)]
    return Flow(tuple(gradient_norms(model)), tuple(weights), tuple(deviations))


def go_back(model: ImageClassifier, images: Tensor, targets: Tensor) -> None:
    """Leave the gradients of the mean cross entropy of images in a network in training mode."""
    logits = model.train()(images)
    F.cross_entropy(logits, targets).backward()  # type: ignore[no-untyped-call]


def gradient_norms(model: nn.Module) -> list[float]:
    """The norm of the gradient of each convolution's weights, from the images to the logits."""
    norms = []
    for module in _convolutions(model):
        assert module.weight.grad is not None
        norms.append(float(module.weight.grad.double().norm()))
    return norms


def _convolutions(model: nn.Module) -> Sequence[nn.Conv2d]:
    return [module for module in model.modules() if isinstance(module, nn.Conv2d)]


def first_images(source: str, count: int = IMAGES) -> Batch:
    """The training images of a data set that `gradient_flow` looks at, as it sees them."""
    setting = make_setting(source, device="cpu")
    recipe = comparing(setting, "cifar_resnet20")
    cell = Cell(Arm("images"), 0, setting, lambda: load_data(recipe, None), choose_runtime("cpu"))
    return next(cell.batches("train", images=count, batch_size=count))
