"""The ledger: every claim about deep convolutional networks that Fathom judges, one row each.

    for row in claims("resnet.*"):
        print(row.id, row.verdict, row.explanation)

A section is a module with CLAIMS, a tuple of `Claim`; it is imported when rows are asked for, and
PyTorch with it. What the verdicts mean is in `fathom.ledger.claim`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fathom.errors import unknown

if TYPE_CHECKING:
    from fathom.ledger.claim import Claim, Kind, Verdict

_SECTIONS = (
    "depth",
    "augmentation",
    "regularisation",
    "normalisation",
    "classics",
    "googlenet",
    "resnet",
    "successors",
    "efficient",
    "convnext",
    "summary",
    "transfer",
)


@dataclass(frozen=True)
class Row:
    """A claim and what came of it.

    stated and computed hold numbers and words by name; source names a paper with its table, or the
    functions of Fathom that computed the values. The explanation is for somebody who learns.
    experiment is the one that the verdict is taken from, None for a row of another kind.
    """

    id: str
    kind: Kind
    text: str
    stated: dict[str, Any]
    computed: dict[str, Any]
    verdict: Verdict
    explanation: str
    source: str
    experiment: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def claims(pattern: str = "*") -> list[Row]:
    """Judge the claims whose ids match a shell pattern such as `resnet.*`, in the ledger's order.

    All of them take less than a minute and a half on two cores. Raises UserError, naming the
    nearest id, where none matches.
    """
    ledger = all_claims()
    chosen = [claim for name, claim in ledger.items() if fnmatchcase(name, pattern)]
    if not chosen:
        raise unknown("claim", pattern, ledger, f"`fathom claims` judges all {len(ledger)}.")
    return [_judge(claim) for claim in chosen]


def all_claims() -> dict[str, Claim]:
    """Every claim by its id, in the ledger's order; nothing is judged yet."""
    sections = (import_module(f"fathom.ledger.{section}") for section in _SECTIONS)
    return {claim.id: claim for section in sections for claim in section.CLAIMS}


def _judge(claim: Claim) -> Row:
    found = claim.judge()
    return Row(
        id=claim.id,
        kind=claim.kind,
        text=claim.text,
        stated=dict(claim.stated),
        computed=dict(found.computed),
        verdict=found.verdict,
        explanation=found.explanation,
        source=found.source,
        experiment=found.experiment,
    )
