"""From what was seen to findings: every check is asked, and consequences go with their cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fathom.doctor.causes import CAUSES, rank
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Observed

@dataclass(frozen=True)
class Verdict:
    """The findings, in the order of what to mend first, and all that was seen; str() words it."""

    findings: list[Finding]
    observed: Observed

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        if self.healthy:
            return "healthy: nothing wrong was found"
        return "\n\n".join(map(in_words, self.findings))


def in_words(finding: Finding) -> str:
    """A finding for a terminal: what, where, what to do."""
    where = f"\n  where: {', '.join(finding.where[:8])}" if finding.where else ""
    code = "".join(f"\n      {line}" for line in finding.remedy.code.splitlines())
    return (
        f"{finding.cause}: {CAUSES[finding.cause].title}\n  {finding.says}{where}\n  "
        f"do: {finding.remedy.words}{code}"
    )


Check = Callable[[Observed], Finding | None]


def all_checks() -> dict[str, Check]:
    """The check of every cause, by the cause's identifier, in the order of what to mend first."""
    from fathom.doctor.checks import data, generalisation, loop, modes, optimization

    known: dict[str, Check] = {}
    for module in (loop, modes, data, optimization, generalisation):
        known |= module.CHECKS
    return {cause: known[cause] for cause in CAUSES if cause in known}


def diagnose(seen: Observed, *, early: bool = False) -> list[Finding]:
    """The findings, in the order of what to mend first; none for a healthy run.

    early: only those that no later step can take back, for warnings while the run goes on.
    """
    found = {f.cause: f for f in _findings(seen, early)}
    hidden = {other for cause in found for other in CAUSES[cause].hides}
    return sorted(
        (finding for cause, finding in found.items() if cause not in hidden),
        key=lambda finding: rank(finding.cause),
    )


def _findings(seen: Observed, early: bool) -> Iterator[Finding]:
    for cause, check in all_checks().items():
        if early and CAUSES[cause].family == "generalisation":
            continue
        finding = check(seen)
        if finding is not None:
            assert finding.cause == cause, f"the check of {cause} found {finding.cause}"
            yield finding
