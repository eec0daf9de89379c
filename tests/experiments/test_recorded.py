"""The recorded runs: their findings follow from their values, and the ledger's rows know them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fathom.data.settings import DataSettings
from fathom.data.summary import Summary
from fathom.experiments import EXPERIMENTS, Setting, read_results
from fathom.experiments.registry import function_of
from fathom.ledger import all_claims
from fathom.ledger.recorded import FOLDER

RECORDED = sorted(FOLDER.glob("*.json"))
# Of the kind of data that was recorded on; findings need nothing of it but that it is one.
ANY = Setting(DataSettings(source="digits"), Summary(1437, 10, 8, 8, 1, False))


def rows_by_experiment() -> dict[str, str | None]:
    """The rows of kind experiment, and the experiment that each takes its verdict from."""
    rows = {name: claim for name, claim in all_claims().items() if claim.kind == "experiment"}
    return {name: claim.judge().experiment for name, claim in rows.items()}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_findings_follow_from_the_values(path: Path) -> None:
    results, stored = read_results(path)
    assert results.name == path.stem
    made = function_of(results.name)(ANY)
    again = json.loads(json.dumps(made.findings(results).to_dict()))
    assert again == stored["findings"]
    assert (stored["title"], stored["expected"]) == (made.title, made.expected)
    assert set(stored["claims"]) == set(made.claims) == set(stored["findings"]["verdicts"])


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_run_is_a_whole_one(path: Path) -> None:
    results, stored = read_results(path)
    assert not results.setting["quick"]
    for seeds in results.cells.values():
        assert sorted(seeds) == results.setting["seeds"]
    weights = results.setting["weights"]
    over_images = results.name == "tta-gain" and weights is not None  # nothing there is random
    assert len(results.setting["seeds"]) >= (1 if over_images else 3)
    assert stored["findings"]["charts"], "the claims page shows the first"
    assert path.stat().st_size < 200_000


def test_every_row_of_kind_experiment_names_one_that_judges_it() -> None:
    for row, name in rows_by_experiment().items():
        assert name is not None, row
        assert name in EXPERIMENTS, row
        assert row in function_of(name)(ANY).claims, row


def test_every_claim_of_an_experiment_takes_its_verdict_from_it() -> None:
    rows = rows_by_experiment()
    for name in EXPERIMENTS:
        for row in function_of(name)(ANY).claims:
            assert rows.get(row) == name, row
