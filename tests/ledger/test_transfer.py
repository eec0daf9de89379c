"""Experiments wait for their runs, and say what those will show."""

from fathom.ledger import claims


def test_transfer_waits() -> None:
    rows = [*claims("transfer.*"), *claims("methodology")]
    assert [row.id for row in rows] == [
        "transfer.probe",
        "transfer.different_domain",
        "transfer.finetune",
        "methodology",
    ]
    for row in rows:
        assert row.verdict == "not yet run"
        assert not row.computed
        assert row.explanation.startswith("No run is recorded yet. It will ")
    assert rows[2].stated == {"lr_factor": 10}
