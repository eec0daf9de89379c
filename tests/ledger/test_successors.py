"""What grew from ResNet: equalities on real tensors, and counts written out."""

import pytest
import torch
from torch import nn

from fathom.ledger import Row, claims, successors
from fathom.models.densenet import DenseBlock


def row(name: str) -> Row:
    return claims(name)[0]


def test_weights_of_a_resnext_block() -> None:
    found = row("resnext.block")
    path = 256 * 4 + 3 * 3 * 4 * 4 + 4 * 256
    assert found.computed["path"] == path
    assert found.computed["block"] == 32 * path
    assert found.computed["bottleneck"] == 256 * 64 + 9 * 64 * 64 + 64 * 256
    assert found.verdict == "exact"


def test_paths_and_groups_agree_and_other_slices_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert row("resnext.equivalence").verdict == "demonstrated"
    path = successors._path

    def shuffled(branch: nn.Sequential, x: torch.Tensor, index: int) -> torch.Tensor:
        return path(branch, x.roll(1, 1), index)

    monkeypatch.setattr(successors, "_path", shuffled)
    assert row("resnext.equivalence").verdict == "not-reproduced"


def test_every_dense_layer_gets_everything_before_it() -> None:
    found = row("densenet.connectivity")
    assert found.verdict == "demonstrated"
    assert found.computed["maps given"] == [1, 2, 3, 4, 5, 6]
    assert found.computed["channels out"] == 24 + 6 * 12
    assert list(found.computed["growth"].values()) == [12, 32, 24]


def test_a_block_that_forgets_a_map_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(DenseBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            maps = [x]
            for layer in self:
                maps.append(layer(*maps[:-1], maps[-1].clone()))
            return torch.cat(maps, 1)

    monkeypatch.setattr(successors, "DenseBlock", Forgetful)
    assert row("densenet.connectivity").verdict == "not-reproduced"


def test_gates_by_hand() -> None:
    found = row("se.block")
    assert found.computed["params"] == 2 * 512 * 32
    gates = 0
    for depth, width in zip((3, 4, 6, 3), (256, 512, 1024, 2048), strict=True):
        reduced = width // 16
        gates += depth * (2 * width * reduced + width + reduced)
    assert found.computed["gates in all"] == gates
    shares = found.computed["share_percent"]
    assert shares["all gates of ResNet-50"] == pytest.approx(100 * gates / 25_557_032)
    assert shares["one gate of ResNet-50"] == pytest.approx(100 * 32768 / 25_557_032)
    assert found.verdict == "wrong"


def test_the_share_would_be_right_for_one_gate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(successors._SE, "share_percent", 0.13)
    assert row("se.block").verdict == "ambiguous"


def test_params_agree_and_errors_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert row("post_resnet.params").verdict == "rounded"
    found = row("post_resnet.top5")
    assert found.verdict == "wrong"
    elsewhere = list(found.computed["the stated figures elsewhere"].values())
    assert elsewhere == [5.6, 6.15, 5.49]
    for name, own in (("resnext50_32x4d", 6.3), ("densenet121", 7.7), ("se_resnet50", 6.6)):
        monkeypatch.setitem(successors._TOP5, name, own)
    assert row("post_resnet.top5").verdict == "rounded"


def test_a_count_that_is_off_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(successors._PARAMS, "densenet121", 8.1e6)
    assert row("post_resnet.params").verdict == "wrong"
