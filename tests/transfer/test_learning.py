"""Learning curves of every strategy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fathom.data.settings import DataSettings
from fathom.errors import UserError
from fathom.transfer.learning import Curves, Learnt, learning_curves
from fathom.transfer.race import nested
from tests.transfer.test_session import plan
from tests.transfer.test_session import weights as weights


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 5))
def test_parts_are_nested_and_hold_their_share_of_each_class(classes: list[int], seed: int) -> None:
    targets = torch.tensor(classes)
    small, large = nested(targets, 0.25, seed), nested(targets, 0.5, seed)
    assert set(small.tolist()) <= set(large.tolist())
    assert nested(targets, 1.0, seed).tolist() == list(range(len(classes)))
    for target in set(classes):
        count = classes.count(target)
        assert int((targets[small] == target).sum()) == max(1, round(0.25 * count))


def test_every_strategy_is_measured_at_every_size(weights: str, tmp_path: Path) -> None:
    out = tmp_path / "curve"
    records = list(learning_curves(plan(weights, minutes=0.2), out=out))
    learnt = [r for r in records if isinstance(r, Learnt)]
    assert len(learnt) == 16
    sizes = sorted({round(r.point.images) for r in learnt})
    assert len(sizes) == 4
    assert sizes[0] == pytest.approx(sizes[-1] / 8, abs=1)
    assert len({r.point.tested for r in learnt}) == 1
    end = records[-1]
    assert isinstance(end, Curves)
    stored = json.loads((out / "curve.json").read_text())
    assert set(stored["curves"]) == {"probe", "partial", "finetune", "scratch"}
    assert len(stored["sentences"]) == 3
    assert "With ten times as many" in stored["sentences"][1]


def test_classes_that_are_too_small_are_refused(weights: str, tmp_path: Path) -> None:
    few = tmp_path / "few"
    for name in ("a", "b"):
        (few / name).mkdir(parents=True)
        for number in range(10):
            Image.new("L", (8, 8), 20 * number).save(few / name / f"{number}.png")
    small = replace(
        plan(weights, minutes=0.1, trust_images=True), data=DataSettings(source=str(few))
    )
    with pytest.raises(UserError, match="needs 16 or more"):
        list(learning_curves(small, out=tmp_path / "out"))
