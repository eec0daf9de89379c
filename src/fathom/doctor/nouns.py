"""What the doctor says: a finding names a cause, and carries its evidence and its remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from fathom.figures.charts import LineChart, chart_from_dict, chart_to_dict


@dataclass(frozen=True)
class Evidence:
    """One quantity that was measured, and the threshold it is held against.

    above: whether it speaks for the cause by lying above the threshold, else below. source: where
    the threshold comes from. Numbers are in the unit that the words of the quantity name.
    """

    quantity: str
    value: float
    threshold: float
    above: bool
    source: str

    @property
    def speaks(self) -> bool:
        """Whether the value lies on the side of the threshold that speaks for the cause."""
        return self.value > self.threshold if self.above else self.value < self.threshold


@dataclass(frozen=True)
class Rejected:
    """Another cause that would look alike, and why it is not this one."""

    cause: str
    why: str


@dataclass(frozen=True)
class Remedy:
    """What to do: in words, as changes of the recipe by path, and as lines of one's own loop."""

    words: str
    changes: Mapping[str, str] = field(default_factory=dict)
    code: str = ""


@dataclass(frozen=True)
class Finding:
    """A cause that was found.

    cause: its identifier in CAUSES. confidence: the share of the runs of the trial with this
    evidence in which it was the planted cause, or 1 for what is read off and not inferred. where:
    names of layers, files or classes. since: the step at which it was first certain, None for what
    holds from the start or is seen only at the end. says: one sentence with the numbers.
    """

    cause: str
    says: str
    evidence: tuple[Evidence, ...]
    remedy: Remedy
    confidence: float = 1.0
    where: tuple[str, ...] = ()
    since: int | None = None
    rejected: tuple[Rejected, ...] = ()
    chart: LineChart | None = None

    @property
    def page(self) -> str:
        """Where the cause is explained, from the root of the repository."""
        return f"docs/doctor/{self.cause}.md"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        chart = None if self.chart is None else chart_to_dict(self.chart)
        return {**asdict(self), "chart": chart}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Finding:
        """The inverse of `to_dict`."""
        chart = None if values["chart"] is None else chart_from_dict(values["chart"])
        assert chart is None or isinstance(chart, LineChart)
        return cls(
            **{
                **values,
                "evidence": tuple(Evidence(**one) for one in values["evidence"]),
                "remedy": Remedy(**values["remedy"]),
                "where": tuple(values["where"]),
                "rejected": tuple(Rejected(**one) for one in values["rejected"]),
                "chart": chart,
            }
        )
