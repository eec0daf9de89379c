"""The road to ConvNeXt, against the table of its paper."""

import pytest

from fathom.ledger import Row, claims, convnext
from fathom.models.registry import model_card

# arXiv:2201.03545, Table 10, typed again: top-1 in percent.
TABLE_10 = {
    "road_01_stage_ratio": 79.36,
    "road_02_patchify": 79.51,
    "road_04_width": 80.50,
    "road_05_inverted": 80.64,
    "road_06_move_up": 79.92,
    "road_07_kernel7": 80.57,
    "road_09_fewer_acts": 81.27,
    "road_10_fewer_norms": 81.41,
    "road_11_layernorm": 81.47,
}


def row(name: str) -> Row:
    return claims(name)[0]


def test_steps_are_differences_of_the_table() -> None:
    found = row("convnext.steps")
    for step, (before, after) in convnext._BETWEEN.items():
        assert found.computed[step] == pytest.approx(TABLE_10[after] - TABLE_10[before], abs=1e-9)
    agrees = found.computed["agrees"]
    assert [step for step, right in agrees.items() if not right] == ["kernel7", "inverted"]
    assert found.verdict == "wrong"


def test_steps_would_agree_with_the_tables_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(convnext._STEPS, "kernel7", 0.7)
    assert row("convnext.steps").verdict == "wrong"
    monkeypatch.setitem(convnext._STEPS, "inverted", 0.1)
    assert row("convnext.steps").verdict == "rounded"


def test_the_ladder_has_thirteen_rungs() -> None:
    found = row("convnext.ladder_builds")
    assert found.verdict == "demonstrated"
    rungs = {name: c for name, c in found.computed.items() if name.startswith("road_")}
    assert len(rungs) == 13
    for name, counts in rungs.items():
        card = model_card(name)
        assert counts == {"params": card.params, "macs": card.macs}
    pairs = {(c["params"], c["macs"]) for c in rungs.values()}
    assert found.computed["different pairs of counts"] == len(pairs) == 11


def test_swin_t_rounds_to_28() -> None:
    from torchvision.models import swin_t

    found = row("convnext.size")
    assert found.computed["swin_t"] == sum(p.numel() for p in swin_t().parameters())
    assert round(found.computed["swin_t"] / 1e6) == 28
    assert round(found.computed["convnext_tiny"] / 1e6) == 29
    assert found.verdict == "wrong"


def test_swin_t_is_not_matched_but_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("convnext.accuracy")
    assert found.verdict == "wrong"
    assert list(found.computed["swin_t"].values()) == [81.3]
    assert "22k" in next(iter(found.computed["convnext_xlarge"]))
    monkeypatch.setitem(convnext._ACCURACY, "swin_t", 81.3)
    assert row("convnext.accuracy").verdict == "exact"
