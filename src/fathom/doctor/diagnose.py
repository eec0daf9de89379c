"""From what was seen to findings: every check is asked, and consequences go with their cause."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from fathom.doctor.causes import CAUSES, rank
from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Observed


@dataclass(frozen=True)
class Verdict:
    """The findings, in the order of what to mend first, and all that was seen; str() words it.

    unasked: why a loader that was given could not be asked, by its split.
    """

    findings: list[Finding]
    observed: Observed
    unasked: Mapping[str, str] = field(default_factory=dict)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        seen = self.observed
        last = max([*seen.curve.step[-1:], *(look.step for look in seen.looks[-1:])], default=0)
        if last:
            looked = f"{last:,} steps, {seen.passes.looks:,} of them looked at closely"
        elif seen.inputs.images:
            looked = f"before the first step, by {seen.inputs.images:,} images"
        elif self.healthy:
            return f"nothing can be said: no step was seen. {_CALL}"
        else:
            looked = "no step was seen"
        told = "\n\n".join([f"{self._count()} ({looked})", *map(in_words, self.findings)])
        return told + "".join(f"\nnot judged: {gap}" for gap in self._gaps() if last)

    def _gaps(self) -> Iterator[str]:
        """What could not be judged for want of being told, and how to tell it."""
        seen = self.observed
        if all(top1 is None for top1 in seen.curve.top1):
            yield "accuracies and the length of steps; give watch.step the targets, too."
        elif not any(look.line for look in seen.looks):
            yield "the length of steps; looks were too few: fathom.watch(..., every=1) makes more."
        for split, why in self.unasked.items():
            yield f"{_JUDGED_BY[split]}; {split}= {why}."
        if "train" not in self.unasked and not any(e.split == "train" for e in seen.exams):
            yield f"{_JUDGED_BY['train']}; give fathom.watch the loaders, as train= and val=."

    def _count(self) -> str:
        if self.healthy:
            return "healthy: nothing wrong was found"
        count = len(self.findings)
        return (
            "one thing is wrong"
            if count == 1
            else f"{count} things are wrong; mend the first one first"
        )


_WIDTH = 88  # columns of a terminal that text is wrapped to
_JUDGED_BY = {"train": "data and overfitting", "val": "validation images"}
_CALL = "Call watch.step(loss, targets) after each optimizer.step()."


def in_words(finding: Finding) -> str:
    """A finding for a terminal: what, where, since when, what to do, and where to read on."""
    title = CAUSES[finding.cause].title
    lines = [f"{finding.cause}: {title}", *_wrapped(finding.says, "  ")]
    if finding.where:
        more = len(finding.where) - _NAMED
        named = ", ".join(finding.where[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        lines += _wrapped(named, "  where: ")
    if finding.since:
        lines.append(f"  since: step {finding.since:,}")
    lines += _wrapped(finding.remedy.words, "  do:    ")
    lines += [f"           {line}" for line in finding.remedy.code.splitlines()]
    return "\n".join([*lines, f"  more:  {finding.page}"])


_NAMED = 6  # places that are named, of however many


def _wrapped(text: str, label: str) -> list[str]:
    indent = " " * len(label)
    return textwrap.wrap(text, _WIDTH, initial_indent=label, subsequent_indent=indent)


Check = Callable[[Observed], Finding | None]


def all_checks() -> dict[str, Check]:
    """The check of every cause, by the cause's identifier, in the order of what to mend first."""
    from fathom.doctor.checks import data, generalisation, loop, modes, optimization

    known: dict[str, Check] = {}
    for module in (loop, modes, data, optimization, generalisation):
        known |= module.CHECKS
    return {cause: known[cause] for cause in CAUSES if cause in known}


_UNKNOWN = {"nothing-learnt", "little-carries-over"}  # said only where nothing better is known


def diagnose(seen: Observed, *, early: bool = False) -> list[Finding]:
    """The findings, in the order of what to mend first; none for a healthy run.

    early: only those that no later step can take back, for warnings while the run goes on.
    """
    found = {f.cause: f for f in _findings(seen, early)}
    if found.keys() - _UNKNOWN:
        found = {cause: finding for cause, finding in found.items() if cause not in _UNKNOWN}
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
