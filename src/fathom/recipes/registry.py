"""Recipes by name, and the way from a name and data to a complete recipe.

Free of PyTorch until data are looked at.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from fathom.data.settings import DataSettings
from fathom.data.summary import Summary
from fathom.errors import unknown
from fathom.models.registry import model_card
from fathom.recipes.adapt import with_network, with_size
from fathom.recipes.classics import alexnet_2012, googlenet_2014, vgg_2014
from fathom.recipes.default import default
from fathom.recipes.fast import fast
from fathom.recipes.mobile import efficientnet_2019, mobilenet_2018
from fathom.recipes.modern import convnext_2022, torchvision_v2
from fathom.recipes.residual import cifar_resnet_2015, resnet_2015
from fathom.recipes.strikes_back import strikes_back_a1, strikes_back_a2, strikes_back_a3
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.settings import altered, checked, choices_first, parse


@dataclass(frozen=True)
class Known:
    """A recipe's function of a summary of the data, the year it is of, and where it comes from."""

    make: Callable[[Summary], Recipe]
    year: int
    source: str

    @property
    def about(self) -> str:
        """All that is said of it: what it is, its source's table, departures, runs."""
        return inspect.getdoc(self.make) or ""

    @property
    def headline(self) -> str:
        """What it is, in one line."""
        return self.about.partition("\n")[0]


_KNOWN = (
    Known(default, 2026, "Fathom"),
    Known(fast, 2026, "Fathom"),
    Known(alexnet_2012, 2012, "Krizhevsky et al., NeurIPS"),
    Known(vgg_2014, 2014, "arXiv:1409.1556"),
    Known(googlenet_2014, 2014, "arXiv:1409.4842"),
    Known(resnet_2015, 2015, "arXiv:1512.03385"),
    Known(cifar_resnet_2015, 2015, "arXiv:1512.03385"),
    Known(mobilenet_2018, 2018, "arXiv:1801.04381"),
    Known(efficientnet_2019, 2019, "arXiv:1905.11946"),
    Known(strikes_back_a1, 2021, "arXiv:2110.00476"),
    Known(strikes_back_a2, 2021, "arXiv:2110.00476"),
    Known(strikes_back_a3, 2021, "arXiv:2110.00476"),
    Known(torchvision_v2, 2021, "pytorch/vision#3995"),
    Known(convnext_2022, 2022, "arXiv:2201.03545"),
)
RECIPES: Mapping[str, Known] = {known.make.__name__: known for known in _KNOWN}

_LENGTHS = ("epochs", "minutes", "steps")  # of which a recipe has one: a new one replaces it


def known_recipe(name: str) -> Known:
    """The recipe of this name. Raises UserError, naming the nearest, where there is none."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES, "`fathom recipes` lists all.")
    return RECIPES[name]


def recipe(
    name: str = "default",
    data: str | DataSettings = "digits",
    *,
    changes: Mapping[str, str] | None = None,
    summary: Summary | None = None,
    **replacements: Any,
) -> Recipe:
    """A complete recipe for these data.

    Args:
        name: one of the recipes.
        data: a built-in name, a path, or data settings.
        changes: fields by path, as text: `{"optimizer.lr": "0.05"}`; choices, as `optimizer`, are
            made before their settings are set. First of all come
            `model.name`, which keeps the recipe's dropout and stochastic depth where the family
            has them, and `image_size`, which takes the evaluated view along.
        summary: what is known of the data; by default a look at them tells.
        replacements: top-level fields by name, as in `epochs=5`; minutes replace epochs.

    Raises UserError for unknown names, ill-typed values and data that cannot be used.
    """
    known = known_recipe(name)
    changes = dict(changes or {})
    network = changes.pop("model.name", None)
    if network is not None:
        model_card(network)  # a wrong name fails before the data are looked at
    size = replacements.pop("image_size", None)
    if "image_size" in changes:
        size = parse(Recipe, "image_size", changes.pop("image_size"))
    settings = DataSettings(source=data) if isinstance(data, str) else data
    for path in [p for p in changes if p.startswith("data.")]:
        settings = altered(settings, path[5:], changes.pop(path), prefix="data.")
    settings = checked(settings).absolute()
    names = [f.name for f in fields(Recipe)]
    for key in replacements:
        if key not in names:
            raise unknown("setting", key, names)
    for key in [k for k in changes if k in _LENGTHS]:
        replacements[key] = parse(Recipe, key, changes.pop(key))
    if summary is None:
        from fathom.data.catalog import open_catalog

        summary = open_catalog(settings).summary()
    base = replace(known.make(summary), data=settings)
    base = _pretrained(base, network, changes, replacements)
    if any(replacements.get(key) is not None for key in _LENGTHS):
        replacements = {**dict.fromkeys(_LENGTHS), **replacements}
    base = replace(base, **replacements)
    if network is not None:
        base = replace(base, model=with_network(base.model, network))
    if size is not None:
        base = with_size(base, size)
    for path, text in choices_first(changes):
        base = altered(base, path, text)
    base = checked(base)
    model_card(base.model.name)
    return base


def _pretrained(
    base: Recipe, network: str | None, changes: dict[str, str], replacements: dict[str, Any]
) -> Recipe:
    """The base for the weights that are asked for, if any; what else is asked comes after it."""
    asked: ModelSettings | None = replacements.get("model")
    weights = parse(ModelSettings, "weights", changes.pop("model.weights", "none"))
    weights = weights or (asked.weights if asked else None)
    if weights is None:
        return base
    from fathom.recipes.pretrained import from_pretrained
    from fathom.weights.sources import absolute

    weights = absolute(weights)
    if asked is not None:
        replacements["model"] = replace(asked, weights=weights)
    return from_pretrained(base, weights, network or (asked.name if asked else None))
