"""Efficient networks, against their formulas."""

import pytest
import torch

from fathom.layers import InvertedResidual
from fathom.ledger import Row, claims, efficient
from fathom.models.registry import model_card


def row(name: str) -> Row:
    return claims(name)[0]


def test_the_saving_follows_the_paper_and_not_the_rule() -> None:
    found = row("separable.formula")
    assert found.verdict == "wrong"
    for out, saving in found.computed["times fewer, by outputs"].items():
        standard, separable = 9 * 64 * int(out), 9 * 64 + 64 * int(out)
        assert saving == round(standard / separable, 3)
    assert found.computed["at least 8 from outputs"] == 72
    assert 9 * 72 / (9 + 72) == 8
    assert 9 * 71 / (9 + 71) < 8


def test_the_example_counts_multiply_adds(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("separable.example")
    pixels = 14 * 14
    assert found.computed["standard_macs"] == pixels * 9 * 256 * 256
    assert found.computed["separable_macs"] == pixels * (9 * 256 + 256 * 256)
    assert found.verdict == "ambiguous"
    monkeypatch.setitem(efficient._EXAMPLE, "separable_flops", 14.3e6)
    assert row("separable.example").verdict == "wrong"


def test_the_inverted_residual(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("mobilenetv2.inverted")
    assert found.verdict == "demonstrated"
    narrow, wide, end = found.computed["channels"]
    assert wide == 6 * narrow
    assert narrow == end
    assert found.computed["blocks with a shortcut"] == "10 of 17"

    def cut(self: InvertedResidual, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.branch(x)
        return (out if self.shortcut is None else out + x).relu()

    monkeypatch.setattr(InvertedResidual, "forward", cut)
    assert row("mobilenetv2.inverted").verdict == "not-reproduced"


def test_phi_is_not_the_number_in_the_name() -> None:
    found = row("efficientnet.compound")
    assert found.verdict == "ambiguous"
    for name, phi in found.computed["phi of the resolution"].items():
        assert 224 * 1.15**phi == pytest.approx(model_card(name).image_size, rel=2e-3)
    assert found.computed["phi of the resolution"]["efficientnet_b1"] == 0.49
    assert found.computed["params of B7 by the rule"] != found.computed["b7_params"]


def test_b7_and_gpipe(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("efficientnet.accuracy")
    assert found.verdict == "rounded"
    assert list(found.computed["b7"].values()) == [84.3]
    monkeypatch.setitem(efficient._ACCURACY, "b7", 84.4)  # the figure of the paper's first version
    assert row("efficientnet.accuracy").verdict == "wrong"
