"""One activation back to the pixels, by the deconvolutional network of Zeiler and Fergus.

The paper reverses a network layer by layer: max pooling by putting a value back where the maximum
was (the switches of the forward pass), a rectifier by rectifying what comes back, a convolution by
its transposed filters. That is the backward pass with another rule for rectifiers, and so it is
computed: a mode that PyTorch asks at each function puts the rule in its place, and the network is
left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from fathom.costs.trace import in_mode
from fathom.errors import require
from fathom.look.maps import peak, strongest
from fathom.models.base import ImageClassifier

_RECTIFIERS = {"relu", "relu_", "relu6", "hardtanh", "silu", "gelu", "hardswish"}
_GATES = {"sigmoid", "hardsigmoid"}


@dataclass(frozen=True)
class Projection:
    """pixels: (C, S, S) float32 on the CPU, what the activation is made of, in the network's units.

    value: the activation; place: its row and column in the map of the channel. switched: whether
    a max pooling lies between. Where none does, the way back is the same for every picture but for
    the gates, and shows the channel more than the picture (Springenberg et al. 2014,
    arXiv:1412.6806).
    """

    channel: int
    value: float
    place: tuple[int, int]
    pixels: Tensor
    switched: bool


def project(
    model: ImageClassifier, images: Tensor, *, stage: int, channel: int | None = None
) -> Projection:
    """(1, C, S, S) normalised image -> its strongest activation in a channel, put back to pixels.

    All other activations of the stage's map are taken as zero. stage counts from 0; channel is the
    one with the highest peak unless given. Raises UserError for a channel that does not exist, or
    is nowhere above zero, as rectified ones can be.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, Section 2.1.
    Departures, for networks that the paper did not know: smooth rectifiers (SiLU, GELU, hard-swish)
    and ReLU6 follow the rule of the rectifier; the gates of squeeze and excitation are, like the
    switches, what the forward pass made them; shortcuts, norms and everything else are reversed as
    their gradient is, norms in evaluation mode being a scale for each channel. Where the windows of
    a pooling overlap, what comes back to one pixel is added.
    """
    images = images.detach().clone().requires_grad_()
    with in_mode(model, training=False), torch.enable_grad():
        with _Deconvolving():
            features = model.features(images)[stage]
        maps = features[0].detach()
        if channel is None:
            channel = strongest(maps, 1)[0]
        check_channel(channel, len(maps))
        value, place = peak(maps[channel])
        require(
            value > 0,
            f"channel {channel} is nowhere above zero on this picture, so that there is nothing to "
            "put back; choose another channel, or none for the strongest",
        )
        signal = torch.zeros_like(features)
        signal[0, channel, place[0], place[1]] = value
        (pixels,) = torch.autograd.grad(features, images, signal)
    return Projection(channel, value, place, pixels[0].float().cpu(), _pools(model, stage))


def _pools(model: ImageClassifier, stage: int) -> bool:
    parts = (model.stem, *model.stages[: stage + 1])
    return any(isinstance(module, nn.MaxPool2d) for part in parts for module in part.modules())


def check_channel(channel: int, count: int) -> None:
    """Raise UserError unless a map of so many channels has this one, counted from 0."""
    require(
        0 <= channel < count,
        f"channel {channel} does not exist in this stage, whose channels are 0 to {count - 1}",
    )


class _Deconvolving(TorchFunctionMode):
    """Functions compute what they do, and take what comes back by the rules of `project`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _GATES:
            return func(*args, **kwargs).detach()
        if name not in _RECTIFIERS:
            return func(*args, **kwargs)
        return _rectify(args[0], lambda x: func(x, *args[1:], **kwargs))


class _Rectified(Function):
    """A rectifier forwards; backwards it rectifies what comes, whatever it let through before."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
        return compute(x.clone())  # it may work in place

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].clamp_min(0), None


def _rectify(x: Tensor, compute: Callable[[Tensor], Tensor]) -> Tensor:
    found: Tensor = _Rectified.apply(x, compute)
    return found
