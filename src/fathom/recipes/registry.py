"""Recipes by name, and the way from a name and data to a complete recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fathom.data.catalog import Summary, open_catalog
from fathom.data.settings import DataSettings
from fathom.errors import unknown
from fathom.recipes.cifar import cifar_resnet_2015
from fathom.recipes.default import default
from fathom.training.recipe import Recipe
from fathom.training.settings import change

RECIPES: Mapping[str, Callable[[Summary], Recipe]] = {
    "default": default,
    "cifar_resnet_2015": cifar_resnet_2015,
}


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
    settings = DataSettings(source=data) if isinstance(data, str) else data
    settings = _absolute(settings)
    known = [f.name for f in fields(Recipe)]
    for key in replacements:
        if key not in known:
            raise unknown("setting", key, known)
    base = replace(RECIPES[name](open_catalog(settings).summary()), data=settings)
    if replacements.get("minutes") is not None:
        replacements.setdefault("epochs", None)
    base = replace(base, **replacements)
    for path, text in (changes or {}).items():
        base = change(base, path, text)
    return base


def _absolute(settings: DataSettings) -> DataSettings:
    """Paths made absolute, so that a run is resumed and evaluated from any folder."""
    paths: dict[str, Any] = {}
    for name in ("source", "train", "val", "test", "data_dir"):
        text = getattr(settings, name)
        if text is not None and Path(text).expanduser().exists():
            paths[name] = str(Path(text).expanduser().absolute())
    return replace(settings, **paths)
