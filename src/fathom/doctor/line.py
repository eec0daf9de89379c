"""How long should the step have been? The loss of another batch along the line of the step.

A step moves the weights from w to w + d. Here the loss of a batch that had no part in this step is
measured at w + a d for several a. Where a tenth of the step is better than the whole, the step was
too long; where ten steps at once are better by ten times as much, it was far too short. This asks
what a learning rate is about, whatever the optimizer, and needs no second derivatives.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLES = (0.0, 0.1, 1.0, 10.0)
_SEED = 20260101  # of dropout: every multiple meets the same masks


def losses_along(
    model: nn.Module,
    before: Sequence[Tensor],
    images: Tensor,
    targets: Tensor,
    *,
    multiples: Sequence[float] = MULTIPLES,
) -> dict[str, tuple[float, float]]:
    """Multiple of the last step -> the mean cross entropy (nats) and accuracy on these images.

    before: the parameters, in the order of `model.parameters()`, as they were before the step.
    Passes are in the mode that the model is in. Weights, buffers and random states are as they were
    afterwards, bit by bit.
    """
    parameters: list[Tensor] = list(model.parameters())
    with untouched(model), torch.no_grad():
        after = [p.clone() for p in parameters]
        steps = [b - a for a, b in zip(before, after, strict=True)]
        found = {}
        for multiple in multiples:
            if multiple == 1.0:
                torch._foreach_copy_(parameters, after)
            else:
                torch._foreach_copy_(parameters, list(before))
                torch._foreach_add_(parameters, steps, alpha=multiple)
            _seed(model)
            found[f"{multiple:g}"] = judged(model, images, targets)
        torch._foreach_copy_(parameters, after)
    return found


def judged(model: nn.Module, images: Tensor, targets: Tensor) -> tuple[float, float]:
    """Mean cross entropy (nats) and top-1 accuracy, in the mode that the model is in."""
    with torch.no_grad():
        logits = logits_of(model(images)).float()
    loss = F.cross_entropy(logits, targets)
    wanted = targets if targets.dim() == 1 else targets.argmax(1)
    return float(loss), float((logits.argmax(1) == wanted).float().mean())


def logits_of(output: Any) -> Tensor:
    """The (N, K) logits of what a network returns: a tensor, or the first or `logits` of more."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = output.get("logits", next(iter(output.values())))
    else:
        output = getattr(output, "logits", output[0] if isinstance(output, Sequence) else output)
    assert isinstance(output, Tensor), f"no logits in a {type(output).__name__}"
    return output


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Leave buffers, modes and random states as they were."""
    buffers = list(model.buffers())
    kept = [b.clone() for b in buffers]
    modes = [(m, m.training) for m in model.modules()]
    metal = torch.mps.get_rng_state() if _on(model, "mps") else None
    with torch.random.fork_rng(devices=_on(model, "cuda")):
        _seed(model)
        try:
            yield
        finally:
            if metal is not None:
                torch.mps.set_rng_state(metal)
            with torch.no_grad():
                for buffer, value in zip(buffers, kept, strict=True):
                    buffer.copy_(value)
            for module, mode in modes:
                module.training = mode


def _on(model: nn.Module, kind: str) -> list[torch.device]:
    """The devices of this kind that the parameters are on."""
    return list({p.device for p in model.parameters() if p.device.type == kind})


def _seed(model: nn.Module) -> None:
    """Seed what `untouched` restores and no more; `torch.manual_seed` seeds every device."""
    torch.default_generator.manual_seed(_SEED)
    for device in _on(model, "cuda"):
        with torch.cuda.device(device):
            torch.cuda.manual_seed(_SEED)
    if _on(model, "mps"):
        torch.mps.manual_seed(_SEED)
