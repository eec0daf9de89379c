"""Settings and results without data, for tests of arms and of findings."""

from collections.abc import Mapping, Sequence

from fathom.data.settings import DataSettings
from fathom.data.summary import Summary
from fathom.experiments import Results, Setting
from fathom.experiments.nouns import Values

DIGITS = Summary(1437, 10, 8, 8, 1, False)
CIFAR = Summary(50_000, 10, 32, 32, 3, True)


def setting(summary: Summary = DIGITS, *, quick: bool = False) -> Setting:
    """A setting of which nothing is loaded."""
    return Setting(DataSettings(source="digits"), summary, quick)


def results(cells: Mapping[str, Sequence[Values]], *, weights: str | None = None) -> Results:
    """Made-up values by arm, one for each seed."""
    seeds = max(len(runs) for runs in cells.values())
    told = {"data": "digits", "judge": "val", "seeds": list(range(seeds)), "weights": weights}
    return Results("made-up", {arm: dict(enumerate(runs)) for arm, runs in cells.items()}, told)
