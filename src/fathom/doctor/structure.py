"""The network as it is built and wired, read from its modules and from the autograd graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm

from fathom.doctor.observed import LayerFacts, Structure
from fathom.regularize import DropBlock, Dropout, PlainDropout, StochasticDepth

BatchNorm = _BatchNorm
_ACTS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Tanh, nn.Sigmoid, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.PReLU,
    nn.Softsign, nn.LogSigmoid,
)  # fmt: skip
BOUNDED: dict[type[nn.Module], tuple[float, float]] = {
    nn.Tanh: (-1.0, 1.0),
    nn.Softsign: (-1.0, 1.0),
    nn.Sigmoid: (0.0, 1.0),
}
_NORMS = (_BatchNorm, _InstanceNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_FORMS = ("TBackward0", "ToCopyBackward0")  # what a layer may make of its weights before use
_SAME = 1e-4  # of the answers, by which two readings of the same ones may differ
_OURS = (Dropout, PlainDropout, StochasticDepth, DropBlock)
_THEIRS = ("StochasticDepth", "DropPath", "DropBlock2d", "DropBlock3d")  # of torchvision and timm


def drop_rate(module: nn.Module) -> float | None:
    """The probability with which a module drops values, regions or whole branches while training;
    None where it is no such module. Knows those of PyTorch, Fathom, torchvision and timm."""
    if isinstance(module, _DropoutNd):
        return module.p
    if isinstance(module, _OURS):
        return module.drop
    if type(module).__name__ in _THEIRS:
        rate = getattr(module, "p", None) or getattr(module, "drop_prob", None)
        return float(rate or 0.0)
    return None


def any_training(model: nn.Module) -> bool:
    """Whether the model itself, or anything in it that knows two modes, is in that of training."""
    return model.training or any(
        module.training
        for module in model.modules()
        if isinstance(module, BatchNorm) or drop_rate(module) is not None
    )


def kind_of(module: nn.Module) -> str | None:
    """What a module is to the doctor; None for what it does not look at."""
    if isinstance(module, _ConvNd):
        return "conv"
    if isinstance(module, nn.Linear):
        return "linear"
    if isinstance(module, _NORMS):
        return "norm"
    if drop_rate(module) is not None:
        return "dropout"
    return "act" if isinstance(module, _ACTS) else None


def looked_at(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """(name, module, kind) of every module that the doctor looks at, in the order of building."""
    for name, module in model.named_modules():
        kind = kind_of(module)
        if kind is not None:
            yield name, module, kind


def weights_of(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The kernels and matrices, by the name of their layer."""
    return [
        (name, module.weight)
        for name, module, kind in looked_at(model)
        if kind in ("conv", "linear") and isinstance(module.weight, nn.Parameter)
    ]


def read_structure(model: nn.Module, optimizer: torch.optim.Optimizer) -> Structure:
    """The facts of all layers, before anything has run."""
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    layers = []
    for name, module, kind in looked_at(model):
        own = list(module.parameters(recurse=False))
        wanted = [p for p in own if p.requires_grad]
        fan_in, weights = _sizes(module, kind)
        layers.append(
            LayerFacts(
                name,
                kind,
                type(module).__name__,
                params=sum(p.numel() for p in own),
                trainable=bool(wanted),
                optimised=all(id(p) in held for p in wanted),
                frozen=bool(own) and len(wanted) < len(own),
                fan_in=fan_in,
                weights=weights,
                momentum=module.momentum if isinstance(module, BatchNorm) else None,
            )
        )
    every = [p for p in model.parameters() if p.requires_grad]
    return Structure(
        layers=layers,
        params=sum(p.numel() for p in every),
        unoptimised_params=sum(p.numel() for p in every if id(p) not in held),
    )


def hang_on(weights: Iterable[Tensor], answer: Callable[[], Tensor]) -> bool:
    """Whether the answers, (N, K) logits, hang on these weights: they change their sign to see it,
    and change it back, which leaves them as they were, bit by bit."""
    held = list({id(w): w for w in weights}.values())
    with torch.no_grad():
        before = answer()
        torch._foreach_neg_(held)
        try:
            apart = answer() - before
        finally:
            torch._foreach_neg_(held)
    return not float(apart.norm()) <= _SAME * float(before.norm())


def _sizes(module: nn.Module, kind: str) -> tuple[int, int]:
    """fan_in and weights of a layer that has a kernel or a matrix; 0 of others."""
    weight = getattr(module, "weight", None)
    if kind not in ("conv", "linear") or not isinstance(weight, Tensor):
        return 0, 0
    transposed = isinstance(module, _ConvNd) and module.transposed
    outputs = weight.shape[1] if transposed else weight.shape[0]
    return weight.numel() // outputs, weight.numel()


def ways(output: Tensor) -> tuple[int, int]:
    """Layers with weights on the longest and on the shortest way from the images to an output.

    Read from the autograd graph, so that it needs no names and knows every shortcut. A way begins
    at a layer whose input needs no gradient: images, or features of frozen layers. (0, 0) where
    there is no graph, or no such layer.
    """
    root = output.grad_fn
    if root is None:
        return 0, 0
    found: dict[Any, tuple[int, int] | None] = {}
    stack: list[tuple[Any, bool]] = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if not ready:
            if node not in found:
                found[node] = None
                stack.append((node, True))
                stack += [(other, False) for other in _inner(node) if other not in found]
            continue
        place = _place_of_weights(node)
        weighted = place is not None
        below = [known for other in _inner(node) if (known := found.get(other)) is not None]
        if weighted and any(other is None for other, _ in node.next_functions[:place]):
            below.append((0, 0))
        if below:
            longest, shortest = max(b[0] for b in below), min(b[1] for b in below)
            found[node] = longest + weighted, shortest + weighted
    return found[root] or (0, 0)


def _inner(node: Any) -> Iterable[Any]:
    """The nodes that a node's inputs come from, without weights."""
    return [other for other, _ in node.next_functions if other is not None and not _leaf(other)]


def _leaf(node: Any) -> bool:
    return hasattr(node, "variable")


def _place_of_weights(node: Any) -> int | None:
    """Where among a node's inputs its matrix or kernel stands, which may be transposed as in linear
    layers, and of another type as under autocast; what stands before it is the layer's input,
    behind it a bias."""
    for place, (other, _) in enumerate(node.next_functions):
        if other is None:
            continue
        leaf = other
        while leaf.name() in _FORMS and leaf.next_functions[0][0] is not None:
            leaf = leaf.next_functions[0][0]
        if _leaf(leaf) and leaf.variable.dim() >= 2 and isinstance(leaf.variable, nn.Parameter):
            return place
    return None
