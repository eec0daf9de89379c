"""What several sections judge by: networks counted on the meta device, and the cards' figures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

from fathom.costs import cost
from fathom.ledger.claim import Verdict, agreement
from fathom.models.base import ImageClassifier
from fathom.models.cards import Published
from fathom.models.registry import build_model, model_card


@cache
def meta_network(name: str, **spec: Any) -> ImageClassifier:
    """A network of the zoo on the meta device, without values; shared, so not to change."""
    with torch.device("meta"):
        return build_model(name, **spec)


@cache
def network_params(name: str, **spec: Any) -> int:
    """All parameters of a network of the zoo without its auxiliary classifiers."""
    model = meta_network(name, **spec)
    return params(model) - sum(params(side) for side in getattr(model, "auxiliary", ()))


@cache
def network_macs(name: str, **spec: Any) -> int:
    """Multiply-adds of a network of the zoo for one image of its card's size."""
    return cost(meta_network(name, **spec), image_size=model_card(name).image_size).macs


def params(module: nn.Module) -> int:
    """The number of parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def conv_weights(module: nn.Module) -> int:
    """Weights of all convolutions of a module: no biases, no norms."""
    return sum(m.weight.numel() for m in module.modules() if isinstance(m, nn.Conv2d))


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Fresh weights drawn inside are the same every time, and the generator outside moves on."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def top1_figures(name: str) -> list[tuple[float, Published]]:
    """The published top-1 accuracies of a network, in percent."""
    figures = model_card(name).published
    return [(round(100 * f.top1, 4), f) for f in figures if f.top1 is not None]


def top5_errors(name: str) -> list[tuple[float, Published]]:
    """The published top-5 errors of a network, in percent."""
    figures = model_card(name).published
    return [(round(100 * (1 - f.top5), 4), f) for f in figures if f.top5 is not None]


def cited(
    stated: float, figures: list[tuple[float, Published]], *, digits: int
) -> tuple[Verdict, dict[str, Any]]:
    """The figures (percent) that agree with what was stated; all of them where none does."""
    verdicts = [agreement(stated, value, digits=digits) for value, _ in figures]
    good = [pair for pair, verdict in zip(figures, verdicts, strict=True) if verdict != "wrong"]
    shown = {f"{f.protocol} ({f.source})": value for value, f in good or figures}
    if not good:
        return "wrong", shown
    return ("exact" if "exact" in verdicts else "rounded"), shown
