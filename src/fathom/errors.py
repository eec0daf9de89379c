"""The one exception for mistakes that are the user's to mend.

A message has three parts: what came, what is allowed, what to do. The command line prints it
without a traceback and exits with 2; everything else that escapes is a bug of ours.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """Input Fathom cannot work with; the message says what came, what is allowed, what to do."""


def require(holds: bool, message: str) -> None:
    """Raise UserError with the message unless the condition holds."""
    if not holds:
        raise UserError(message)


def require_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Raise UserError unless the value of a setting is one of those known."""
    names = list(known)
    if value not in names:
        raise UserError(f"{name} {value!r} is none of {', '.join(names)}")


def unknown(kind: str, name: str, known: Iterable[str], advice: str = "") -> UserError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = list(known)
    folded = {candidate.lower(): candidate for candidate in names}
    near = get_close_matches(name.lower(), folded, n=1, cutoff=0.5)
    if near:
        guess = f"; did you mean {folded[near[0]]!r}?"
    elif len(names) <= 20:
        guess = f"; known are {', '.join(names)}."
    else:
        guess = "."
    return UserError(f"unknown {kind} {name!r}{guess}" + (f" {advice}" if advice else ""))
