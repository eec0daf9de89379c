"""Where a loss that is no number came from."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def first_bad_layer(model: nn.Module, images: Tensor) -> str:
    """Name the first place, in the order of computation, that holds or makes NaN or infinity.

    Runs the model once more on the batch, in the mode it is in, without gradients.
    """
    if not torch.isfinite(images).all():
        return "the input images themselves"
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter).all():
            layer, _, which = name.rpartition(".")
            return f"layer {layer} (its {which} is no longer finite)"
    found: list[str] = []

    def look(name: str) -> object:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if not found and isinstance(output, Tensor) and not torch.isfinite(output).all():
                found.append(name)

        return hook

    leaves = [(n, m) for n, m in model.named_modules() if not list(m.children())]
    handles = [m.register_forward_hook(look(n)) for n, m in leaves]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    return f"layer {found[0]} (its output)" if found else "the loss (all layers are finite)"
