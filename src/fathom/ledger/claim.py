"""A claim about deep convolutional networks, and what the program says of it. Free of PyTorch.

A verdict is
  exact           what was computed, or the paper's own figure, is what was stated
  rounded         it becomes what was stated when rounded to the digits that were written
  ambiguous       it depends on a definition that the source does not give; under one it holds
  wrong           it holds under no definition in use
  demonstrated    the property was shown on real tensors, or the effect by a recorded run
  not-reproduced  the property or effect was looked for and did not appear
  not yet run     an experiment whose recorded run is still to come
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, get_args

Kind = Literal["computed", "published", "behaviour", "experiment"]
Verdict = Literal[
    "exact", "rounded", "ambiguous", "wrong", "demonstrated", "not-reproduced", "not yet run"
]


@dataclass(frozen=True)
class Judgement:
    """What the program found: values by name, a verdict, why, and where the truth comes from.

    explanation is one or two sentences that a learner understands. source names a paper with its
    table, or the function of Fathom that computed the values. experiment is the one whose recorded
    run gives the verdict, or will.
    """

    verdict: Verdict
    computed: Mapping[str, Any]
    explanation: str
    source: str
    experiment: str | None = None

    def __post_init__(self) -> None:
        assert self.verdict in get_args(Verdict)
        assert self.explanation
        assert self.source
        assert self.computed or self.verdict == "not yet run", "a verdict needs a value"


@dataclass(frozen=True)
class Claim:
    """A row of the ledger: what was stated, and how it is judged.

    stated holds the numbers of the claim by name, empty where it has none.
    """

    id: str
    kind: Kind
    text: str
    stated: Mapping[str, Any]
    judge: Callable[[], Judgement]


def digits_of(value: float) -> int:
    """Significant digits that a number was written with, trailing zeros not counted: 138e6 -> 3."""
    return len(Decimal(repr(value)).normalize().as_tuple().digits)


def agreement(stated: float, computed: float, *, digits: int | None = None) -> Verdict:
    """ "exact", "rounded" (at the last digit stated, or the last of `digits`) or "wrong".

    A number halfway between two rounded ones agrees with both: people round it either way.
    """
    if stated == computed:
        return "exact"
    if stated == 0:
        return "wrong"
    digits = digits_of(stated) if digits is None else digits
    last = 10.0 ** (math.floor(math.log10(abs(stated))) - digits + 1)
    return "rounded" if abs(computed - stated) <= last / 2 * (1 + 1e-9) else "wrong"


def among(stated: float, computed: Iterable[float], *, digits: int | None = None) -> Verdict:
    """The verdict on one number that several definitions in use give differently.

    "ambiguous" where it agrees with some of them and not with others.
    """
    verdicts = {agreement(stated, value, digits=digits) for value in computed}
    if "wrong" in verdicts:
        return "wrong" if len(verdicts) == 1 else "ambiguous"
    return "rounded" if "rounded" in verdicts else "exact"


def worst(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict of a row with several numbers: wrong if one is, or ambiguous, rounded, exact."""
    order: tuple[Verdict, ...] = ("wrong", "ambiguous", "rounded", "exact")
    return next(v for v in order if v in verdicts.values())


def in_words(values: Mapping[str, Any]) -> str:
    """Values as people read them: {"flops": 15.5e9, "conv": 13} -> "flops: 15.5 G; conv: 13"."""
    return "; ".join(f"{name}: {_in_words(value)}" for name, value in values.items())


def _in_words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        for size, letter in ((1e9, "G"), (1e6, "M")):
            if abs(value) >= size:
                return f"{value / size:.6g} {letter}"
        return f"{value:,.0f}" if value.is_integer() else f"{value:.4g}"
    if isinstance(value, Mapping):
        return f"({in_words(value)})"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_in_words, value))}]"
    return str(value)
