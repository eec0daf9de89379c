"""What every network of the zoo is: a stem, stages and a head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from fathom.errors import UserError
from fathom.models.keys import Row
from fathom.preprocess import Preprocess


class _WithoutValues(TorchFunctionMode):
    """Leaves out what would only fill tensors on the meta device, which have no values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        target = args[0] if args else (kwargs or {}).get("tensor")
        if func.__name__ in _FILLS and isinstance(target, Tensor) and target.is_meta:
            return target
        return func(*args, **(kwargs or {}))


# The first random fill on the meta device imports PyTorch's compiler, which takes over a second.
_FILLS = {"normal_", "uniform_", "trunc_normal_", "fill_", "zero_", "erfinv_", "mul_", "clamp_"}


def without_values() -> AbstractContextManager[object]:
    """A context in which networks are built fast where the default device is meta."""
    meta = torch.get_default_device().type == "meta"
    return _WithoutValues() if meta else nullcontext()


class TrainingLogits(NamedTuple):
    """What a network with auxiliary classifiers gives in training mode: (N, K) logits each."""

    logits: Tensor
    auxiliary: tuple[Tensor, ...]


class ImageClassifier(nn.Module):
    """(N, C, H, W) images -> (N, K) logits, through a stem, a row of stages and a head.

    Costs, transfer, features and diagnosis work on this structure, never on names. The last module
    of the head is the linear classifier. block_types are the modules that the stages are rows of;
    min_size is the smallest side of an image that leaves a pixel for every layer.
    auxiliary_weight is the weight of each auxiliary classifier's loss, 0 where there is none.
    preprocess is how images were prepared for pretrained weights, None for fresh ones. kept are the
    modules that `train_last` took out of training.
    """

    block_types: ClassVar[tuple[type[nn.Module], ...]]
    min_size: int = 1
    auxiliary_weight: float = 0.0
    preprocess: Preprocess | None = None
    stem: nn.Module
    stages: nn.ModuleList
    head: nn.Sequential

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.kept: tuple[nn.Module, ...] = ()

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) images -> the map after each stage, each (N, C_i, H_i, W_i).

        Raises UserError for images of another number of channels, or too small for the strides.
        """
        self.check(images)
        maps = []
        images = self.stem(images)
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """(N, C, H, W) images -> (N, K) logits."""
        logits: Tensor = self.head(self.features(images)[-1])
        return logits

    def check(self, images: Tensor) -> None:
        """Raise UserError unless the network can take these images."""
        if images.ndim != 4 or images.shape[1] != self.in_channels:
            raise UserError(
                f"images of shape {tuple(images.shape)}; this network takes (N, "
                f"{self.in_channels}, H, W): build it with in_channels= the channels you have"
            )
        if min(images.shape[2:]) < self.min_size:
            raise UserError(
                f"images of {images.shape[2]}x{images.shape[3]} pixels are too small for the "
                f"strides of this network, which needs {self.min_size}: enlarge them with "
                f"image_size={self.min_size} or more, or take stem=cifar where the network has it"
            )

    def train_last(self, stages: int) -> None:
        """Train the head and so many of the last stages only; all before them stays as it is.

        What is kept has no gradients and stays in evaluation mode, whatever mode the network is in:
        its norms keep their statistics, and nothing in it is drawn.
        """
        self.kept = (self.stem, *self.stages[: len(self.stages) - stages])
        for module in self.kept:
            module.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """As PyTorch's, but for what is kept."""
        super().train(mode)
        for module in self.kept:
            module.eval()
        return self

    def classifiers(self) -> list[nn.Linear]:
        """The linear layers whose outputs are classes: the head's last, and auxiliary ones."""
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        return [last]

    def key_maps(self) -> Mapping[str, Sequence[Row]]:
        """How other libraries name this network's weights: library -> rows (see `keys`)."""
        return {}
