"""The effects that made depth work, each shown by an experiment of one's own.

    setting = make_setting("digits")
    plan = make_plan("degradation", setting, minutes=15, seeds=3)
    for record in run(plan, "runs/degradation"):
        print(record)

An experiment is a function of a `Setting` that returns an `Experiment`: arms, what a cell (an arm
and a seed) is measured by, and what the values come to. Findings are made from the stored values of
the cells and from nothing else, so that they can be made again from a results file.

    experiment.json   what was asked
    cells/ARM-SEED.json   the values of a cell; its run folder, where one was trained, beside it
    results.json      values, setting, sentences, verdicts, charts
    report.html       all of it, to look at

Importing this package imports nothing heavy, so that the list of experiments is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fathom.experiments.make import make_plan, make_setting
    from fathom.experiments.nouns import Arm, Experiment, Findings, Judged, Results, Setting
    from fathom.experiments.plan import Plan
    from fathom.experiments.registry import EXPERIMENTS, about, known_experiment
    from fathom.experiments.session import (
        Finished,
        Measured,
        Record,
        Stepping,
        Timed,
        read_results,
        resume,
        run,
    )

_HOMES = {
    **dict.fromkeys(("make_plan", "make_setting"), "make"),
    **dict.fromkeys(("Arm", "Experiment", "Findings", "Judged", "Results", "Setting"), "nouns"),
    **dict.fromkeys(("Plan",), "plan"),
    **dict.fromkeys(("EXPERIMENTS", "about", "known_experiment"), "registry"),
    **dict.fromkeys(
        ("Finished", "Measured", "Record", "Stepping", "Timed", "read_results", "resume", "run"),
        "session",
    ),
}

__all__ = [
    "EXPERIMENTS",
    "Arm",
    "Experiment",
    "Findings",
    "Finished",
    "Judged",
    "Measured",
    "Plan",
    "Record",
    "Results",
    "Setting",
    "Stepping",
    "Timed",
    "about",
    "known_experiment",
    "make_plan",
    "make_setting",
    "read_results",
    "resume",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fathom.experiments' has no attribute {name!r}")
    value = getattr(import_module(f"fathom.experiments.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
