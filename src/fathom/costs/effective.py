"""The effective receptive field: how much each pixel of the image moves the middle of a map.

Luo, Li, Urtasun, Zemel 2016, "Understanding the Effective Receptive Field in Deep Convolutional
Neural Networks" (arXiv:1701.04128): the gradient of a map's central pixel with respect to the image
is far from even over the theoretical field; it fades from the middle like a bell.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor, nn

from fathom.costs.field import Field
from fathom.costs.trace import in_mode, trace
from fathom.errors import require
from fathom.models.base import ImageClassifier
from fathom.runtime import generator

_SHARE = 1 - 0.9545  # of the largest gradient: two deviations of a bell (Section 3.2 of the paper)


@dataclass(frozen=True)
class EffectiveField:
    """heat: (H, W), the mean absolute gradient at each pixel, 1 at the largest.

    size: side in pixels of the square of as many pixels as are above 4.55 % of the largest.
    centre: row and column of the image that the map's pixel stands over.
    theoretical: the field that the graph allows.
    """

    heat: Tensor
    size: float
    centre: tuple[float, float]
    theoretical: Field | None


def effective_field(
    model: ImageClassifier, *, image_size: int, stage: int = -1, samples: int = 20, seed: int = 0
) -> EffectiveField:
    """Measure the field of the central pixel of a stage's map, over images of random noise.

    stage counts from 0, or from -1 backwards. The gradient starts as random signs on all channels
    of the pixel, so that they do not cancel, as in the paper; the model runs in evaluation mode on
    its own device. Raises UserError for a stage that the model does not have.
    """
    require(samples >= 1, f"samples is {samples}; use at least 1")
    count = len(model.stages)
    require(-count <= stage < count, f"stage is {stage}; this network has stages 0 to {count - 1}")
    device = next(model.parameters()).device
    rng = generator("effective field", seed)
    total = torch.zeros(image_size, image_size)
    shape = (1, model.in_channels, image_size, image_size)
    with in_mode(model, training=False), torch.enable_grad():
        for _ in range(samples):
            images = torch.randn(shape, generator=rng).to(device).requires_grad_()
            features = model.features(images)[stage]
            height, width = features.shape[2:]
            signs = torch.randint(0, 2, (features.shape[1],), generator=rng).mul_(2).sub_(1)
            middle = features[0, :, height // 2, width // 2]
            (gradient,) = torch.autograd.grad(middle @ signs.to(middle), images)
            total += gradient[0].abs().sum(0).cpu()
    heat = total / total.max().clamp_min(torch.finfo(total.dtype).tiny)
    size = sqrt(float((heat > _SHARE).sum()))
    allowed = _theoretical(model, shape, stage)
    centre = ((image_size - 1) / 2, (image_size - 1) / 2)
    if allowed is not None:
        pixel = (height // 2, width // 2)
        centre = (
            allowed.offset[0] + pixel[0] * allowed.stride[0],
            allowed.offset[1] + pixel[1] * allowed.stride[1],
        )
    return EffectiveField(heat, size, centre, allowed)


def _theoretical(model: ImageClassifier, shape: tuple[int, ...], stage: int) -> Field | None:
    from fathom.costs.count import last_field

    class Body(nn.Module):
        """The model up to the stage."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor) -> Tensor:
            return self.model.features(images)[stage].clone()  # the last thing that happens

    return last_field(list(trace(Body(), shape).records.values()))
