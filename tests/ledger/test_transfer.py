"""The rows of transfer; their verdicts are those of recorded experiments (test_claim)."""

from fathom.ledger import claims


def test_the_section_is_whole() -> None:
    rows = [*claims("transfer.*"), *claims("methodology")]
    assert {row.id: row.experiment for row in rows} == {
        "transfer.probe": "transfer",
        "transfer.different_domain": "transfer-far",
        "transfer.finetune": "transfer-rate",
        "methodology": "methodology",
    }
    assert rows[2].stated == {"lr_factor": 10}
