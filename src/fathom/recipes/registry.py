"""Recipes by name, and the way from a name and data to a complete recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fathom.data.catalog import Summary, open_catalog
from fathom.data.settings import DataSettings
from fathom.errors import unknown
from fathom.models.registry import model_card
from fathom.recipes.cifar import cifar_resnet_2015
from fathom.recipes.default import default
from fathom.recipes.pretrained import from_pretrained
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.settings import change, parse
from fathom.weights.sources import absolute

RECIPES: Mapping[str, Callable[[Summary], Recipe]] = {
    "default": default,
    "cifar_resnet_2015": cifar_resnet_2015,
}


_LENGTHS = ("epochs", "minutes", "steps")  # of which a recipe has one: a new one replaces it


def check_recipe(name: str) -> None:
    """Raise UserError, naming the nearest, unless there is a recipe of this name."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES, f"There are {', '.join(RECIPES)}.")


def recipe(
    name: str = "default",
    data: str | DataSettings = "digits",
    *,
    changes: Mapping[str, str] | None = None,
    **replacements: Any,
) -> Recipe:
    """A complete recipe for these data.

    Args:
        name: one of the recipes.
        data: a built-in name, a path, or data settings.
        changes: fields by path, as text, in order: `{"optimizer.lr": "0.05"}`.
        replacements: top-level fields by name, as in `epochs=5`; minutes replace epochs.

    Raises UserError for unknown names, ill-typed values and data that cannot be used.
    """
    check_recipe(name)
    changes = dict(changes or {})
    if "model.name" in changes:
        model_card(changes["model.name"])  # a wrong name fails before the data are looked at
    settings = DataSettings(source=data) if isinstance(data, str) else data
    for path in [p for p in changes if p.startswith("data.")]:
        settings = change(settings, path[5:], changes.pop(path), prefix="data.")
    settings = _absolute(settings)
    known = [f.name for f in fields(Recipe)]
    for key in replacements:
        if key not in known:
            raise unknown("setting", key, known)
    for key in [k for k in changes if k in _LENGTHS]:
        replacements[key] = parse(Recipe, key, changes.pop(key))
    base = replace(RECIPES[name](open_catalog(settings).summary()), data=settings)
    base = _pretrained(base, changes, replacements)
    if any(replacements.get(key) is not None for key in _LENGTHS):
        replacements = {**dict.fromkeys(_LENGTHS), **replacements}
    base = replace(base, **replacements)
    for path, text in changes.items():
        base = change(base, path, text)
    model_card(base.model.name)
    return base


def _pretrained(base: Recipe, changes: dict[str, str], replacements: dict[str, Any]) -> Recipe:
    """The base for the weights that are asked for, if any; what else is asked comes after it."""
    asked: ModelSettings | None = replacements.get("model")
    weights = parse(ModelSettings, "weights", changes.pop("model.weights", "none"))
    weights = weights or (asked.weights if asked else None)
    if weights is None:
        return base
    weights = absolute(weights)
    name = changes.get("model.name") or (asked.name if asked else None)
    if asked is not None:
        replacements["model"] = replace(asked, weights=weights)
    return from_pretrained(base, weights, name)


def _absolute(settings: DataSettings) -> DataSettings:
    """Paths made absolute, so that a run is resumed and evaluated from any folder."""
    paths: dict[str, Any] = {}
    for name in ("source", "train", "val", "test", "data_dir"):
        text = getattr(settings, name)
        if text is not None and Path(text).expanduser().exists():
            paths[name] = str(Path(text).expanduser().absolute())
    return replace(settings, **paths)
