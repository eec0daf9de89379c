"""A network of the zoo by name, with fresh or pretrained weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card
from fathom.weights.load import load_weights
from fathom.weights.sources import find_weights


def create_model(
    name: str,
    *,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
    **spec: Any,
) -> ImageClassifier:
    """Build a network of the zoo, initialised as its paper says, or with pretrained weights.

    Args:
        name: one of `list_models()`.
        weights: `torchvision` (its best), `torchvision:IMAGENET1K_V1`, `timm:NAME`, `lite`, or the
            path of a safetensors file or PyTorch state dict; None for fresh ones, drawn from
            torch's random generator. The preprocessing that belongs to the weights is then the
            network's `preprocess`.
        num_classes: outputs, the card's by default; of another number than the weights', the
            classifier starts afresh.
        in_channels: channels of the images, the card's by default.
        spec: fields of the family's Spec to replace, as in `stem="cifar"`.

    Builds under `torch.device("meta")` too, without weights. Raises UserError for an unknown name,
    an unknown field of the Spec, a value out of range, and weights that cannot be had or do not
    fit.
    """
    found = None if weights is None else find_weights(weights, model_card(name))
    model = build_model(name, num_classes=num_classes, in_channels=in_channels, **spec)
    if found is not None:
        load_weights(model, found.read())
        model.preprocess = found.preprocess
    return model
