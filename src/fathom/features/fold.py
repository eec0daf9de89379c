"""Batch norms folded into the convolutions before them: the same network in fewer steps."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TypeVar

from torch import nn

Net = TypeVar("Net", bound=nn.Module)


def folded(model: Net) -> Net:
    """A copy on the CPU, for inference only, in which batch norms are part of convolutions.

    In evaluation a batch norm is a scale and a shift of each channel, which the weights and the
    bias of the convolution before it can take over. Folded are norms that follow a convolution in
    a Sequential, which is where the zoo has them; an Identity takes their place, so that all other
    parts keep their names. Norms elsewhere (the first of a DenseNet's layers, those after an
    activation), and norms without running statistics, stay. Logits are the same to rounding.
    The copy is in evaluation mode; it is made on the CPU, as Apple's GPUs have no float64.

    Source: Jacob et al. 2017, arXiv:1712.05877, Section 3.2, Equation 14, without the quantisation.
    """
    other = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    for chain in [m for m in other.modules() if isinstance(m, nn.Sequential)]:
        for place, (conv, norm) in enumerate(pairwise(list(chain)), 1):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                if norm.running_mean is None:
                    continue
                _fold(conv, norm)
                chain[place] = nn.Identity()
    return other


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Give a convolution the scale and shift of a norm, computed in float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    shift = -norm.running_mean.double()
    if conv.bias is not None:
        shift += conv.bias.double()
    if norm.affine:
        scale *= norm.weight.double()
    shift *= scale
    if norm.affine:
        shift += norm.bias.double()
    weight = conv.weight.double() * scale.view(-1, 1, 1, 1)
    kind = conv.weight.dtype
    conv.weight = nn.Parameter(weight.to(kind), requires_grad=False)
    conv.bias = nn.Parameter(shift.to(kind), requires_grad=False)
