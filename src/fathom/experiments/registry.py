"""The experiments by name. Free of PyTorch until one is made."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module

from fathom.errors import unknown
from fathom.experiments.nouns import Experiment, Setting


@dataclass(frozen=True)
class Known:
    """Where an experiment's function is, and what it shows in a line.

    minutes: of training on two cores where nobody says how many; None where nothing is trained.
    weights: whether it uses pretrained weights.
    """

    module: str
    shows: str
    source: str
    minutes: float | None = 10.0
    weights: bool = False


EXPERIMENTS: Mapping[str, Known] = {
    "degradation": Known(
        "degradation",
        "plain networks get worse with depth, in training too; residual ones do not",
        "arXiv:1512.03385, Figures 1 and 6",
        15.0,
    ),
}


def known_experiment(name: str) -> Known:
    """The experiment of this name. Raises UserError, naming the nearest, where there is none."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS, "`fathom experiment` lists all.")
    return EXPERIMENTS[name]


def function_of(name: str) -> Callable[[Setting], Experiment]:
    """The function that makes an experiment; its docstring is what there is to say of it."""
    module = import_module(f"fathom.experiments.{known_experiment(name).module}")
    found: Callable[[Setting], Experiment] = getattr(module, name.replace("-", "_"))
    return found


def about(name: str) -> str:
    """All that is said of an experiment: source, command, measured result, departures."""
    return inspect.getdoc(function_of(name)) or ""
