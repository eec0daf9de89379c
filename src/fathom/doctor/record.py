"""doctor.json: what was seen of a run, written while it goes on, so that a kill loses little of it.

A run that is resumed takes up what was seen before, and a post-mortem reads the same numbers.
"""

from __future__ import annotations

from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Observed
from fathom.training.run import Run

FILE = "doctor"


def write(run: Run, seen: Observed, findings: list[Finding], *, seconds: float) -> None:
    """Store what was seen so far, what it means, and the seconds that looking took."""
    run.write(
        FILE,
        {
            "observed": seen.to_dict(),
            "findings": [finding.to_dict() for finding in findings],
            "seconds": seconds,
        },
    )


def read(run: Run) -> Observed | None:
    """What was seen of a run; None where no doctor attended it.

    Raises UserError for a damaged file.
    """
    return Observed.from_dict(run.read(FILE)["observed"]) if run.has(FILE) else None


def forget_after(seen: Observed, step: int) -> None:
    """Drop what a run that goes on from this step will show again."""
    seen.looks = [look for look in seen.looks if look.step <= step]
    seen.exams = [exam for exam in seen.exams if exam.step <= step]
    curve = seen.curve
    kept = sum(at <= step for at in curve.step)
    for values in (curve.step, curve.loss, curve.top1, curve.lr):
        del values[kept:]
    seen.over, seen.diverged = False, None
