"""What a test of the pre-flight comes to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """One test: what was measured against which threshold, and what to do where it is not passed.

    passed: None where it could not be judged, or is no more than worth knowing.
    """

    name: str
    passed: bool | None
    measured: str
    threshold: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    def lines(self) -> Iterator[str]:
        """A line for people, and where something is wrong another on what to do."""
        word = {True: "ok   ", False: "WRONG", None: "note "}[self.passed]
        yield f"{word}  {self.name}: {self.measured} (wanted: {self.threshold})"
        if not self.passed and self.remedy:
            yield f"       do: {self.remedy}"
