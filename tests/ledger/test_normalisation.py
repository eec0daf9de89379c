"""Norms against loops over single values; faults that each row must notice."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import nn

from fathom.ledger import normalisation
from fathom.ledger.claim import Judgement
from fathom.ledger.normalisation import CLAIMS, batch_norm

ROWS = {claim.id: claim for claim in CLAIMS}


def judged(name: str) -> Judgement:
    return ROWS[name].judge()


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("init.kaiming", "behaviour", "demonstrated"),
        ("bn.worked_example", "computed", "wrong"),
        ("bn.identity", "behaviour", "demonstrated"),
        ("bn.running_stats", "behaviour", "demonstrated"),
        ("bn.eval_bug", "behaviour", "ambiguous"),
        ("norm.table", "behaviour", "demonstrated"),
    ],
)
def test_verdicts(name: str, kind: str, verdict: str) -> None:
    row = judged(name)
    assert (ROWS[name].kind, row.verdict) == (kind, verdict)
    assert json.loads(json.dumps(dict(row.computed))) == dict(row.computed)
    assert judged(name).computed == row.computed, "the same every time"


def test_the_section_is_whole() -> None:
    assert len(CLAIMS) == 8


def test_batch_norm_is_pytorchs() -> None:
    x = [0.5, -3.0, 7.25, 2.0, 2.0]
    norm = nn.BatchNorm1d(1, eps=1e-5, dtype=torch.float64)
    nn.init.constant_(norm.weight, -1.5)
    nn.init.constant_(norm.bias, 0.25)
    wanted = norm(torch.tensor(x, dtype=torch.float64)[:, None])[:, 0].tolist()
    assert batch_norm(x, -1.5, 0.25)[3] == pytest.approx(wanted)


def test_the_worked_example_by_hand() -> None:
    """[2, 4, 6, 8]: deviations -3, -1, 1, 3, squares 9, 1, 1, 9, mean 5; the root of 5.00001."""
    row = judged("bn.worked_example").computed
    root = math.sqrt(5.00001)
    assert row["mean"] == (2 + 4 + 6 + 8) / 4
    assert row["var"] == (9 + 1 + 1 + 9) / 4
    assert row["xhat"] == pytest.approx([-3 / root, -1 / root, 1 / root, 3 / root], abs=1e-4)
    assert row["y"] == pytest.approx(
        [1 - 6 / root, 1 - 2 / root, 1 + 2 / root, 1 + 6 / root], abs=1e-4
    )
    assert row["y from x_hat rounded first"] == ROWS["bn.worked_example"].stated["y"]


def test_a_right_example_would_be_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    right = {**normalisation._EXAMPLE, "y": [-1.68, 0.11, 1.89, 3.68]}
    monkeypatch.setattr(normalisation, "_EXAMPLE", right)
    assert judged("bn.worked_example").verdict == "rounded"


def test_identity_by_hand() -> None:
    """sigma / sqrt(var + eps) with sigma about 0.01, 1 and 100 is off by eps / 2 var, roughly."""
    row = judged("bn.identity").computed
    changes = row["largest change, gamma = sqrt(var)"]
    for deviation, change in list(zip(row["deviations"], changes, strict=True))[1:]:
        shrink = 1e-5 / deviation**2 / 2
        assert shrink < change < 6 * shrink, "largest of 256 values, a few deviations out"
    assert max(row["largest change, gamma = sqrt(var + epsilon)"]) < 1e-9


def test_running_values_settle_at_the_datas() -> None:
    row = judged("bn.running_stats").computed
    assert row["running mean"] == pytest.approx(3, abs=0.3)
    assert row["running variance"] == pytest.approx(4, abs=0.6)


def test_scales_of_deep_stacks_by_hand() -> None:
    """Mean squares change by D std^2 / 2 a layer: 1, 1/2, and 256 * 0.0001 / 2 = 0.0128."""
    row = judged("init.kaiming").computed
    kept, halved, tiny, conv, wrong = row.values()
    for found, factor, depth in (
        (kept, 1, 50),
        (halved, 0.5, 50),
        (tiny, 0.0128, 50),
        (conv, 1, 10),
        (wrong, 9, 10),
    ):
        assert abs(math.log10(found) - depth / 2 * math.log10(factor)) < 0.5


def test_one_value_a_channel_by_hand() -> None:
    row = judged("bn.eval_bug").computed
    assert row["variance of one value"] == 0
    assert row["output for it, whatever it is"] == 0
    assert row["smallest variance of a 4x4 channel"] > 0.1
    assert row["4x4: distance from instance norm"] < 1e-6
    assert row["4x4: mean change from the running averages"] > 1


def test_norms_by_loops() -> None:
    """The axes that the table names, one set of values after the other."""
    maps = torch.randn(3, 4, 2, 2, dtype=torch.float64)
    slices: dict[str, list[Any]] = {
        "BN": [(slice(None), c) for c in range(4)],
        "LN": [(n,) for n in range(3)],
        "IN": [(n, c) for n in range(3) for c in range(4)],
        "GN": [(n, slice(g, g + 2)) for n in range(3) for g in (0, 2)],
    }
    norms = {
        "BN": nn.BatchNorm2d(4),
        "LN": nn.LayerNorm([4, 2, 2]),
        "IN": nn.InstanceNorm2d(4),
        "GN": nn.GroupNorm(2, 4),
    }
    for name, norm in norms.items():
        wanted = torch.empty_like(maps)
        for where in slices[name]:
            part = maps[where]
            centred = part - part.mean()
            wanted[where] = centred / (centred.square().mean() + 1e-5).sqrt()
        torch.testing.assert_close(norm.double()(maps), wanted)


class Identity(nn.Module):
    """A norm that does nothing, for whatever arguments."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("name", "attribute", "fault"),
    [
        ("init.kaiming", "_through_linear", lambda std: std),
        ("norm.table", "nn.GroupNorm", Identity),
        ("norm.table", "nn.LayerNorm", lambda shape: nn.InstanceNorm2d(shape[0])),
        ("norm.table", "nn.InstanceNorm2d", lambda channels: nn.GroupNorm(1, channels)),
        ("bn.eval_bug", "_refuses", lambda norm, shape: False),
        ("bn.running_stats", "nn.BatchNorm2d", lambda n, eps, dtype: _slow(n, eps, dtype)),
        ("bn.identity", "nn.BatchNorm2d", lambda n, eps, dtype: _coarse(n, dtype)),
    ],
)
def test_a_fault_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str, attribute: str, fault: Any
) -> None:
    monkeypatch.setattr(f"fathom.ledger.normalisation.{attribute}", fault)
    assert judged(name).verdict == "not-reproduced"


BATCH_NORM = nn.BatchNorm2d


def _slow(channels: int, eps: float, dtype: torch.dtype) -> nn.Module:
    """Averages that move a hundredth of the way."""
    return BATCH_NORM(channels, eps=eps, momentum=0.01, dtype=dtype)


def _coarse(channels: int, dtype: torch.dtype) -> nn.Module:
    """A norm with a large epsilon."""
    return BATCH_NORM(channels, eps=0.5, dtype=dtype)
