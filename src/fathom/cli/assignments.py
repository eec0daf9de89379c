"""`path=value` on the command line."""

from __future__ import annotations

from collections.abc import Iterable

from fathom.errors import require


def assignment(option: str, text: str) -> tuple[str, str]:
    """ "optimizer.lr=0.1" -> ("optimizer.lr", "0.1"). Raises UserError for text without either."""
    path, equals, value = (part.strip() for part in text.partition("="))
    require(bool(equals and path), f"{option} takes path=value, as in optimizer.lr=0.1; got {text}")
    return path, value


def assignments(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Changes by path, as `fathom.recipe` takes them; of two for one path the last stays."""
    return dict(assignment(option, text) for text in texts)
