"""The trial's table, from what was seen: the doctor and two sets of published rules.

    python benchmarks/doctor/table.py TRIAL --half held [--cases]

Detected: anything was found in a sick run. First: the planted cause stands first; among two: first
or second. False alarm: anything was found in a healthy run. A sick run whose fault did no harm
(accuracy within a point of its healthy twin) still counts as sick. Intervals are Wilson's, 95 %.

Repaired: of the runs that a fault in the recipe cost more than a point, those that the doctor's
first remedy brings back to within a point of the healthy one; a wrong finding repairs nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from baselines import Trace, autotrainer, sagemaker
from repairs import NOT_BY_RECIPE

from fathom.doctor import Observed, diagnose
from fathom.errors import UserError
from fathom.evaluate import wilson

Named = Callable[[dict[str, Any]], Sequence[str]]

_POINT = 0.01 + 1e-9  # of accuracy, or a rounding error more
_NOTE = (
    "channel-order is planted on ImageNet's photographs only, for a network with the classifier of "
    "its weights; CIFAR-10's images and a new classifier cannot show it. input-statistics is "
    "planted for pretrained weights only, on enlarged CIFAR-10 and photographs."
)


def doctor(values: dict[str, Any]) -> list[str]:
    """Causes that the doctor names, in its order."""
    return [f.cause for f in diagnose(Observed.from_dict(values["observed"]))]


METHODS: dict[str, Named] = {
    "doctor": doctor,
    "SageMaker Debugger": lambda values: sagemaker(Trace.from_dict(values["trace"])),
    "AutoTrainer": lambda values: autotrainer(Trace.from_dict(values["trace"])),
}


def read(folder: Path) -> list[dict[str, Any]]:
    """Every case of a half."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("*/*.json"))]


def share(hits: int, count: int) -> str:
    """A share in percent with its interval."""
    if not count:
        return "-"
    low, high = wilson(hits, count)
    return f"{100 * hits / count:.1f} % ({100 * low:.1f} to {100 * high:.1f})"


def summary(cases: list[dict[str, Any]]) -> None:
    """One row a method."""
    print("| | detected | cause first | among two | false alarms |")
    print("| --- | --- | --- | --- | --- |")
    for name, method in METHODS.items():
        sick = [(v["case"]["cause"], method(v)) for v in cases if v["case"]["cause"]]
        well = [method(v) for v in cases if not v["case"]["cause"]]
        print(
            f"| {name} | {share(sum(bool(f) for _, f in sick), len(sick))} | "
            f"{share(sum(f[:1] == [c] for c, f in sick), len(sick))} | "
            f"{share(sum(c in f[:2] for c, f in sick), len(sick))} | "
            f"{share(sum(bool(f) for f in well), len(well))} |"
        )


def by_cause(cases: list[dict[str, Any]], *, every: bool) -> None:
    """What the doctor said of each cause, and of each case where it was not the planted one."""
    told: dict[str, Counter[str]] = defaultdict(Counter)
    for values in cases:
        case, found = values["case"], doctor(values)
        told[case["cause"] or f"healthy: {case['variant']}"][found[0] if found else "healthy"] += 1
        if every and found[:1] != [c for c in (case["cause"],) if c]:
            print(
                f"  {case['cause'] or 'healthy'}-{case['variant']} {case['network']} "
                f"{case['world']} {case['seed']}: {found} ({100 * values['top1']:.1f} %)"
            )
    for cause, counts in sorted(told.items()):
        print(f"{cause}: {', '.join(f'{n} {c}' for n, c in counts.most_common())}")


def repairs(cases: list[dict[str, Any]], *, every: bool) -> None:
    """What `--apply` came to, and what no recipe can mend."""
    harmed = [v for v in cases if v["healthy"] - v["sick"] > _POINT]
    mended = [v for v in harmed if v["healthy"] - v["repaired"] <= _POINT]
    print(
        f"repaired by --apply: {share(len(mended), len(harmed))} of {len(harmed)} runs that the "
        f"fault cost more than a point; it cost {len(cases) - len(harmed)} others less"
    )
    for values in cases if every else ():
        case, named = values["case"], ", ".join(values["named"]) or "healthy"
        print(
            f"  {case['cause']}-{values['variant']} {case['network']} {case['seed']}: {named}; "
            f"sick {values['sick']:.1%}, repaired {values['repaired']:.1%}, healthy "
            f"{values['healthy']:.1%}" + (f"; {values['refused']}" if values["refused"] else "")
        )
    reasons: dict[str, list[str]] = defaultdict(list)
    for cause, why in NOT_BY_RECIPE.items():
        reasons[why].append(cause)
    for why, causes in reasons.items():
        print(f"not repairable by a recipe: {', '.join(causes)}: {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("trial", type=Path)
    parser.add_argument("--half", choices=("fit", "held"), required=True)
    parser.add_argument("--cases", action="store_true", help="name every case that went wrong")
    asked = parser.parse_args()
    cases = read(asked.trial / asked.half)
    if not cases:
        parser.error(f"{asked.trial / asked.half} has no cases; trial.py writes them there")
    try:
        by_cause(cases, every=asked.cases)
    except UserError as error:
        parser.error(f"{error}; or run the trial again, into a new folder")
    print()
    summary(cases)
    print(f"\n{_NOTE}\n")
    repairs(read(asked.trial / "repairs" / asked.half), every=asked.cases)


if __name__ == "__main__":
    main()
