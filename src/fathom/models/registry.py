"""The names of the zoo: list them, look one up, build one. Free of PyTorch until one is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fathom.errors import UserError, unknown
from fathom.models.cards import ModelCard, Variant
from fathom.models.variants import (
    alexnet,
    convnext,
    densenet,
    efficientnet,
    googlenet,
    mobilenet,
    resnet,
    road,
    senet,
    vgg,
)

if TYPE_CHECKING:
    from fathom.models.base import ImageClassifier

_TABLES = (
    alexnet.VARIANTS,
    vgg.VARIANTS,
    googlenet.VARIANTS,
    resnet.VARIANTS,
    senet.VARIANTS,
    densenet.VARIANTS,
    mobilenet.VARIANTS,
    efficientnet.VARIANTS,
    convnext.VARIANTS,
    road.VARIANTS,
)

VARIANTS: Mapping[str, Variant] = {row.card.name: row for table in _TABLES for row in table}


def list_models(pattern: str = "*") -> list[str]:
    """The names that match a shell pattern such as `cifar_*`, in the order of the story."""
    return [name for name in VARIANTS if fnmatchcase(name, pattern)]


def _variant(name: str) -> Variant:
    if name not in VARIANTS:
        advice = f"`fathom models` lists all {len(VARIANTS)}."
        raise unknown("model", name, VARIANTS, advice)
    return VARIANTS[name]


def model_card(name: str) -> ModelCard:
    """The card of a network. Raises UserError, naming the nearest, for an unknown name."""
    return _variant(name).card


def build_model(
    name: str, *, num_classes: int | None = None, in_channels: int | None = None, **spec: Any
) -> ImageClassifier:
    """A network of the zoo with fresh weights; see `fathom.create_model` for the arguments."""
    variant = _variant(name)
    family = import_module(f"fathom.models.{variant.card.family}")
    default = family.Spec(**variant.spec)
    known = [field.name for field in fields(default)]
    for key in spec:
        if key not in known:
            raise unknown(f"setting of {name}", key, known, f"Known are {', '.join(known)}.")
    changes = {key: tuple(v) if isinstance(v, list) else v for key, v in spec.items()}
    num_classes = variant.card.num_classes if num_classes is None else num_classes
    in_channels = variant.card.in_channels if in_channels is None else in_channels
    if num_classes < 1 or in_channels < 1:
        raise UserError(
            f"num_classes={num_classes} and in_channels={in_channels} must both be at least 1"
        )
    from fathom.models.base import without_values

    with without_values():
        model: ImageClassifier = family.Network(
            replace(default, **changes), num_classes=num_classes, in_channels=in_channels
        )
    return model
