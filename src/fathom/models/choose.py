"""Which network under my budget? Limits, an order, and the frontier. Free of PyTorch."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fathom.errors import UserError, require_choice
from fathom.models.cards import ModelCard

_COUNTS = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
AXES = ("params", "macs", "flops", "latency")
ORDERS = ("story", "top1", "year", *AXES)


@dataclass(frozen=True)
class Choice:
    """A network with what it is chosen by; seconds is its measured latency, None if unknown.

    frontier: no other network of the choice is at least as accurate and costs no more.
    """

    card: ModelCard
    seconds: float | None
    frontier: bool = False

    @property
    def top1(self) -> float | None:
        """The accuracy that compares with others', see `ModelCard.comparable`."""
        figure = self.card.comparable
        return None if figure is None else figure.top1

    def cost(self, axis: str) -> float | None:
        """What the network costs on one of AXES."""
        if axis == "latency":
            return self.seconds
        value: int = getattr(self.card, axis)
        return float(value)


def parse_count(text: str, name: str) -> float:
    """A number of parameters or operations: 5M, 600M, 4.1G, 250k.

    Raises UserError for anything else.
    """
    return _parse(text, name, _COUNTS, "5M, 600M or 4.1G")


def parse_seconds(text: str, name: str) -> float:
    """A time: 20ms, 0.5s. Raises UserError for anything else."""
    return _parse(text, name, _SECONDS, "20ms or 0.5s")


def _parse(text: str, name: str, units: Mapping[str, float], example: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if found is None or found[2] not in units:
        raise UserError(f"{name} is {text!r}; write it like {example}")
    return float(found[1]) * units[found[2]]


def choose(
    choices: Sequence[Choice], limits: Mapping[str, float], *, sort: str = "story"
) -> list[Choice]:
    """The networks within limits on AXES, in order: the most accurate, newest or cheapest first.

    A network whose cost on a limited axis is unknown is left out; one without a comparable accuracy
    comes last where accuracy decides. Raises UserError for an unknown order.
    """
    require_choice("--sort", sort, ORDERS)
    kept = [c for c in choices if all(_fits(c.cost(axis), most) for axis, most in limits.items())]
    keys: dict[str, Callable[[Choice], float]] = {
        "top1": lambda c: -(c.top1 or 0.0),
        "year": lambda c: -c.card.year,
        **{axis: _by(axis) for axis in AXES},
    }
    return kept if sort == "story" else sorted(kept, key=keys[sort])


def _by(axis: str) -> Callable[[Choice], float]:
    def key(choice: Choice) -> float:
        value = choice.cost(axis)
        return float("inf") if value is None else value

    return key


def _fits(value: float | None, most: float) -> bool:
    return value is not None and value <= most


def frontier(choices: Sequence[Choice], axis: str) -> list[Choice]:
    """The same networks, those marked that nobody beats: in accuracy at no more cost on the axis.

    Only networks with a comparable accuracy take part. Raises UserError for an unknown axis.
    """
    require_choice("--pareto", axis, AXES)
    known = [
        (c.top1, cost) for c in choices if c.top1 is not None and (cost := c.cost(axis)) is not None
    ]

    def beaten(top1: float, cost: float) -> bool:
        return any(t >= top1 and k <= cost and (t, k) != (top1, cost) for t, k in known)

    marked = []
    for choice in choices:
        cost = choice.cost(axis)
        on = choice.top1 is not None and cost is not None and not beaten(choice.top1, cost)
        marked.append(Choice(choice.card, choice.seconds, on))
    return marked
