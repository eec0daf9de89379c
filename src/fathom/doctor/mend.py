"""A remedy as a new recipe, and as a command."""

from __future__ import annotations

import shlex
from dataclasses import replace

from fathom.doctor.nouns import Finding, Remedy
from fathom.errors import UserError, require
from fathom.recipes.adapt import with_network
from fathom.training.recipe import Recipe
from fathom.training.settings import altered, checked, choices_first

_LENGTHS = ("epochs", "minutes", "steps")  # of which a recipe has one


def mended(recipe: Recipe, finding: Finding) -> Recipe:
    """The recipe with the changes of a finding's remedy.

    Raises UserError, saying what to do by hand, where no recipe can express the remedy, and where
    the recipe has those settings already.
    """
    changes = dict(finding.remedy.changes)
    require(
        bool(changes),
        f"{finding.cause} cannot be mended by a recipe, so there is nothing to apply. "
        f"{by_hand(finding.remedy)}",
    )
    new = recipe
    if "model.name" in changes:
        new = replace(new, model=with_network(new.model, changes.pop("model.name")))
    if any(length in changes for length in _LENGTHS):
        for length in _LENGTHS:
            new = altered(new, length, "none")
    for path, text in choices_first(changes):
        new = altered(new, path, text)
    new = checked(new)
    if new == recipe:
        raise UserError(
            f"the run had these settings already: {' '.join(settings(finding.remedy))}. "
            f"{by_hand(finding.remedy)}"
        )
    return new


def by_hand(remedy: Remedy) -> str:
    """What to do where nothing does it for one."""
    lines = "; ".join(remedy.code.splitlines())
    return f"Do it by hand: {remedy.words}" + (f" As in: {lines}" if lines else "")


def settings(remedy: Remedy) -> list[str]:
    """The changes as `fathom train --set` takes them, path=value each."""
    return [f"{path}={text}" for path, text in remedy.changes.items()]


def options(remedy: Remedy) -> str:
    """The changes as options of `fathom train`, empty where there are none."""
    return " ".join(f"--set {shlex.quote(text)}" for text in settings(remedy))


def copied(remedy: Remedy) -> str:
    """What a reader would copy: options where the recipe can express the remedy, else lines of a
    loop, else words."""
    return options(remedy) or remedy.code or remedy.words
