"""GoogLeNet, against arithmetic written out."""

from typing import Any

import pytest

from fathom.ledger import Row, claims, googlenet
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from fathom.models.variants.googlenet import VARIANTS


def row(name: str) -> Row:
    return claims(name)[0]


def test_the_naive_module() -> None:
    found = row("inception.naive")
    assert found.computed == {"channels": 4 * 256, "params_5x5": 25 * 256 * 256}
    assert found.verdict == "rounded"


def test_weights_are_shared_by_all_positions() -> None:
    found = row("inception.one_by_one")
    assert found.computed == {
        "weights": 256 * 64,
        "macs_per_position": 256 * 64,
        "macs at 28x28": 256 * 64 * 28 * 28,
    }
    assert found.verdict == "ambiguous"


def test_the_reduction_has_a_price() -> None:
    found = row("inception.reduce_64")
    for out in (256, 128, 64):
        direct, reduced = 25 * 256 * out, 256 * 64 + 25 * 64 * out
        assert found.computed[f"with the 1x1, {out} out"] == pytest.approx(direct / reduced)
    assert found.computed["the 5x5 alone"] == 4
    assert found.verdict == "ambiguous"


def test_the_bottleneck_and_its_one_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("inception.bottleneck_example")
    pixels = 28 * 28
    total = pixels * (256 * 32 + 25 * 32 * 128)
    assert found.computed["total"] == total == 86_704_128
    assert found.computed["direct"] == pixels * 25 * 256 * 128
    assert found.verdict == "wrong"
    monkeypatch.setitem(googlenet._EXAMPLE, "total", 86.7e6)
    assert row("inception.bottleneck_example").verdict == "rounded"


def test_googlenet_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    found = row("googlenet.size")
    modules = [m for stage in VARIANTS[0].spec["widths"] for m in stage]
    total = (49 * 3 + 1) * 64 + (64 + 1) * 64 + (9 * 64 + 1) * 192
    channels = 192
    for one, reduce_three, three, reduce_five, five, pooled in modules:
        total += (channels + 1) * (one + reduce_three + reduce_five + pooled)
        total += (9 * reduce_three + 1) * three + (25 * reduce_five + 1) * five
        channels = one + three + five + pooled
    total += (channels + 1) * 1000
    assert found.computed["params"]["Table 1"] == total
    assert found.computed["modules"] == len(modules) == 9
    assert found.computed["layers"] == 3 + 2 * 9 + 1
    assert found.verdict == "wrong"
    monkeypatch.setitem(googlenet._SIZE, "params", 7e6)
    assert row("googlenet.size").verdict == "ambiguous"  # the FLOPs are multiply-adds


def test_side_heads_count_in_training_only() -> None:
    found = row("googlenet.aux")
    assert found.verdict == "demonstrated"
    assert found.computed["weight"] == pytest.approx(0.3, abs=1e-5)
    heads = found.computed["params in training"] - found.computed["params in evaluation"]
    by_hand = [(c + 1) * 128 + (2048 + 1) * 1024 + (1024 + 1) * 1000 for c in (512, 528)]
    assert heads == sum(by_hand)


def test_another_weight_would_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def heavier(name: str, **settings: Any) -> ImageClassifier:
        model = build_model(name, **settings)
        model.auxiliary_weight = 0.5
        return model

    monkeypatch.setattr(googlenet, "build_model", heavier)
    assert row("googlenet.aux").verdict == "not-reproduced"
