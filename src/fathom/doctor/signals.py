"""What goes through the layers in one pass, read by hooks that are there for that pass only, and
what comes out at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fathom.doctor.observed import Look, Passes, Signals
from fathom.doctor.structure import BOUNDED, BatchNorm, looked_at

_IMAGES = 16  # of a batch; dead channels are judged over several looks
_EDGE = 0.01  # of the range of a bounded activation
_SURE = 1e-3  # by which probabilities may miss a sum of one
_APART = 1e-3  # nats between two readings of a loss that can be told apart


class Pass:
    """What one training pass showed: signals by layer, drift by norm, values of the smallest batch
    that a batch norm averaged over, frozen norms that move, and the seconds that reading took."""

    def __init__(self) -> None:
        self.signals: dict[str, Signals] = {}
        self.drift: dict[str, float] = {}
        self.least_images = 0
        self.frozen_moving: list[str] = []
        self.seconds = 0.0

    def read(self, name: str, module: nn.Module, kind: str, x: Tensor, output: Tensor) -> None:
        """Take in one layer's input and output."""
        if kind in ("conv", "linear"):
            self.signals[name] = _of_weighted(kind, x[:_IMAGES], output[:_IMAGES])
        elif isinstance(module, BatchNorm):
            self._of_norm(name, module, x)
        elif type(module) in BOUNDED:
            low, high = BOUNDED[type(module)]
            some = output[:_IMAGES].float()
            edge = _EDGE * (high - low)
            outside = (some < low + edge) | (some > high - edge)
            self.signals[name] = Signals(
                mean=_number(some.mean()),
                std=_number(some.std(correction=0)),
                saturated=_number(_mean(outside)),
            )

    def _of_norm(self, name: str, module: BatchNorm, x: Tensor) -> None:
        if not module.training:
            return
        self.least_images = min(self.least_images or len(x), len(x))
        weight = module.weight
        if isinstance(weight, nn.Parameter) and not weight.requires_grad:
            self.frozen_moving.append(name)
        mean, var = module.running_mean, module.running_var
        if mean is not None and var is not None:
            batch = x.float().mean([d for d in range(x.dim()) if d != 1])
            apart = (batch - mean) / (var + module.eps).sqrt()
            self.drift[name] = _number(apart.square().mean().sqrt())

    def count(self, passes: Passes) -> None:
        """Add what this pass showed to the counts of all."""
        passes.least_images = max(passes.least_images, self.least_images)
        passes.frozen_norms_moving = max(passes.frozen_norms_moving, len(self.frozen_moving))


def _of_weighted(kind: str, x: Tensor, output: Tensor) -> Signals:
    """Channels are dimension 1 of maps, and the last one of vectors and tokens."""
    some, nothing = output.float(), x == 0
    channel = 1 if kind == "conv" else x.dim() - 1
    dead = nothing.movedim(channel, 0).flatten(1).all(dim=1)
    return Signals(
        mean=_number(some.mean()),
        std=_number(some.std(correction=0)),
        zeros=_number(_mean(nothing)),
        dead=_number(_mean(dead)),
    )


def look_at_logits(logits: Tensor, targets: Tensor | None, look: Look, passes: Passes) -> None:
    """(N, K) logits and their targets, (N,) or (N, K), -> what they show, in look and passes.

    The loss told is that of logits where it is within a tenth of the way from the cross entropy of
    the outputs to the negative log of the outputs, and of probabilities at the other end.
    """
    values = logits.float()
    look.logit_std = _number(values.std())
    if values.shape[1] < 2 or not look.logit_std or bool((values < 0).any() | (values > 1).any()):
        return
    if bool(((values.sum(1) - 1).abs() < _SURE).all()):
        passes.probabilities += 1
    else:
        passes.sigmoids += 1
    if targets is not None:
        as_logits = _number(F.cross_entropy(values, targets))
        as_shares = _number(_of_probabilities(values, targets))
        apart = abs(as_logits - as_shares)
        passes.loss_of_logits += apart > _APART and abs(look.loss - as_logits) < apart / 10
        passes.loss_of_probabilities += apart > _APART and abs(look.loss - as_shares) < apart / 10


def _of_probabilities(values: Tensor, targets: Tensor) -> Tensor:
    logs = values.clamp_min(torch.finfo(values.dtype).tiny).log()
    return F.nll_loss(logs, targets) if targets.dim() == 1 else -(targets * logs).sum(1).mean()


def _mean(values: Tensor) -> Tensor:
    return values.float().mean()


def _number(value: Tensor) -> float:
    return float(value)


@contextmanager
def reading(model: nn.Module, found: Pass) -> Iterator[None]:
    """Read every layer that is gone through inside."""
    handles: list[RemovableHandle] = []

    def hook(name: str, kind: str) -> Callable[..., None]:
        def read(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
                began = time.monotonic()
                with torch.no_grad():
                    found.read(name, module, kind, inputs[0].detach(), output.detach())
                found.seconds += time.monotonic() - began

        return read

    for name, module, kind in looked_at(model):
        if kind != "dropout":
            handles.append(module.register_forward_hook(hook(name, kind)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
