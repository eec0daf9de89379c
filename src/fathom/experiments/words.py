"""How numbers of an experiment are said."""

from __future__ import annotations

from fathom.spread import Spread


def percent(found: Spread) -> str:
    """A fraction with its interval: "12.3 % (11.0 to 13.6)"."""
    return in_unit(found, 100, "%", 1)


def points(found: Spread) -> str:
    """A difference of fractions: "+3.1 points (1.9 to 4.3)"."""
    return in_unit(found, 100, "points", 1, sign=True)


def undecided(found: Spread) -> str:
    """What to say where two intervals are not apart, or where there are none."""
    if found.low is None:
        return "One seed has no interval, so it shows no difference."
    return "The intervals overlap, so these seeds show no difference."


def in_unit(found: Spread, factor: float, unit: str, digits: int = 2, *, sign: bool = False) -> str:
    """Mean with unit and interval, all times a factor."""
    text = f"{factor * found.mean:{'+' if sign else ''}.{digits}f} {unit}".rstrip()
    if found.low is None or found.high is None:
        return text
    return f"{text} ({factor * found.low:.{digits}f} to {factor * found.high:.{digits}f})"
