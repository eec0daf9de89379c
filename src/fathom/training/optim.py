"""From a recipe's optimizer to one over the network's parameters, in groups that learn alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from fathom.models.base import ImageClassifier
from fathom.training import optimizers
from fathom.training.anchor import Anchor
from fathom.training.choices import (
    SGD,
    AdamW,
    Lamb,
    Muon,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
)


def build_optimizer(
    model: ImageClassifier,
    settings: Optimizer,
    *,
    layer_decay: float = 1.0,
    decay_norms: bool = False,
    anchor: Anchor | None = None,
) -> torch.optim.Optimizer:
    """The optimizer over all trainable parameters, in the groups of `parameter_groups`.

    SGD, AdamW and RMSprop are PyTorch's. Departure of RMSprop from TensorFlow's, with which
    MobileNet and EfficientNet were trained: eps is added after the root, and the mean of squares
    starts at zero.
    """
    groups = parameter_groups(
        model, settings, layer_decay=layer_decay, decay_norms=decay_norms, anchor=anchor
    )
    lr = settings.lr
    if isinstance(settings, SGD):
        return torch.optim.SGD(
            groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov
        )
    if isinstance(settings, RMSprop):
        return torch.optim.RMSprop(
            groups, lr=lr, alpha=settings.alpha, eps=settings.eps, momentum=settings.momentum
        )
    if isinstance(settings, Muon):
        return optimizers.Muon(
            groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov
        )
    if isinstance(settings, ScheduleFreeSGD):
        return optimizers.ScheduleFreeSGD(groups, lr=lr, momentum=settings.momentum)
    betas, eps = (settings.beta1, settings.beta2), settings.eps
    if isinstance(settings, AdamW):
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps)
    if isinstance(settings, Lamb):
        return optimizers.Lamb(groups, lr=lr, betas=betas, eps=eps)
    assert isinstance(settings, ScheduleFreeAdamW)
    return optimizers.ScheduleFreeAdamW(groups, lr=lr, betas=betas, eps=eps)


def parameter_groups(
    model: ImageClassifier,
    settings: Optimizer,
    *,
    layer_decay: float = 1.0,
    decay_norms: bool = False,
    anchor: Anchor | None = None,
) -> list[dict[str, Any]]:
    """Groups of trainable parameters that share weight_decay and lr_scale, a factor of the rate.

    Matrices and kernels are decayed; norms, biases and other vectors are not (He et al. 2018,
    arXiv:1812.01187, Section 3.1), unless decay_norms says so; nor is what the anchor holds.
    lr_scale is layer_decay to the power of `heights`. For Muon `hidden` says which groups it trains
    itself (`hidden_matrices`); AdamW trains the others, at adamw_lr.
    """
    height = heights(model)
    hidden = hidden_matrices(model) if isinstance(settings, Muon) else set()
    groups: dict[tuple[float, ...], dict[str, Any]] = {}
    for parameter in model.parameters():
        if not parameter.requires_grad:
            continue
        held = anchor is not None and anchor.holds(parameter)
        decayed = (decay_norms or parameter.ndim > 1) and not held
        traits: dict[str, float] = {
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "lr_scale": layer_decay ** height[id(parameter)],
        }
        if isinstance(settings, Muon):
            traits["hidden"] = id(parameter) in hidden
            if not traits["hidden"]:
                traits["lr_scale"] *= settings.adamw_lr / settings.lr
        group = groups.setdefault(tuple(traits.values()), {"params": [], **traits})
        group["params"].append(parameter)
    return list(groups.values())


def heights(model: ImageClassifier) -> dict[int, int]:
    """How many blocks up from the head each parameter lies, by its id.

    0 for the head and auxiliary classifiers, 1 for the last block, the number of blocks for the
    first, one more for the stem; what stands between two blocks belongs to the one after it.
    Source: layer-wise decay in BEiT's fine-tuning (Bao et al. 2021, arXiv:2106.08254), with blocks
    for its layers. Departure from ConvNeXt's (arXiv:2201.03545, Appendix A.2), whose code counts
    three neighbouring blocks as one layer: one rule serves all families here, and its layer_decay
    of d is about d ** (1 / 3).
    """
    blocks = [m for m in model.stages.modules() if isinstance(m, model.block_types)]
    own = {id(p): len(blocks) - i for i, block in enumerate(blocks) for p in block.parameters()}
    found = {id(p): 0 for p in model.parameters()}
    height = 0
    for parameter in reversed(list(model.stages.parameters())):
        height = own.get(id(parameter), height)
        found[id(parameter)] = height
    found.update({id(p): len(blocks) + 1 for p in model.stem.parameters()})
    return found


def hidden_matrices(model: ImageClassifier) -> set[int]:
    """The ids of the parameters that Muon makes orthogonal: matrices between hidden layers.

    Weights of linear layers and kernels of convolutions; but not of the stem, of the convolution
    that sees the pixels, and of the classifiers, whose inputs or outputs are no hidden features
    (Jordan et al. 2024, kellerjordan.github.io/posts/muon); nor of grouped and depthwise
    convolutions, whose kernels are one small matrix a group, so that rows of different groups have
    no directions to share.
    """
    pixels = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    outside = {*model.stem.modules(), pixels, *model.classifiers()}
    return {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
        and module not in outside
        and getattr(module, "groups", 1) == 1
    }
