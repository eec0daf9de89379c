"""Verdicts from recorded experiments: `recorded/NAME.json`, the results file of a real run.

An experiment lies above the ledger, so only its results are read here; a test makes the findings of
every recorded file again from its values and compares.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from fathom.ledger.claim import Judgement

FOLDER = Path(__file__).with_name("recorded")


@cache
def recorded(experiment: str) -> dict[str, Any] | None:
    """The results file of an experiment's recorded run, None where there is none yet."""
    path = FOLDER / f"{experiment}.json"
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def by_experiment(claim: str, experiment: str, paper: str, shows: str) -> Callable[[], Judgement]:
    """The judge of a claim that takes its verdict from an experiment's recorded run.

    shows says what the run will show, for as long as there is none.
    """

    def judge() -> Judgement:
        results = recorded(experiment)
        if results is None:
            again = f"`fathom experiment {experiment}` runs it."
            told = f"No run is recorded yet. {shows} {again}"
            return Judgement("not yet run", {}, told, paper, experiment)
        found = results["findings"]["verdicts"][claim]
        setting = results["setting"]
        source = (
            f"experiment {experiment}, recorded {setting['date']} on {setting['data']}, "
            f"{len(setting['seeds'])} seeds; {paper}"
        )
        return Judgement(
            found["verdict"], found["computed"], found["explanation"], source, experiment
        )

    return judge
