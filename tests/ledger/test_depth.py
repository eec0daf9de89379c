"""Depths are those that the authors name their networks by; the imitation is exact and can fail."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fathom.ledger import depth
from fathom.ledger.claim import Judgement
from fathom.ledger.depth import CLAIMS, imitate, weighted_layers
from fathom.ledger.evidence import meta_network
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model, model_card

ROWS = {claim.id: claim for claim in CLAIMS}


def judged(name: str) -> Judgement:
    return ROWS[name].judge()


def test_the_section_is_whole() -> None:
    assert [(claim.id, claim.kind) for claim in CLAIMS] == [
        ("ilsvrc.layers", "computed"),
        ("ilsvrc.top5", "published"),
        ("degradation.train_error", "experiment"),
        ("degradation.residual_cures", "experiment"),
        ("degradation.identity_construction", "behaviour"),
    ]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        *((f"vgg{n}", n) for n in (11, 13, 16, 19)),
        *((f"resnet{n}", n) for n in (18, 34, 50)),
        ("plain34", 34),
        ("se_resnet50", 50),
        ("resnext50_32x4d", 50),
        ("densenet121", 121),
        ("alexnet", 8),
        ("googlenet", 22),
    ],
)
def test_layers_are_those_that_authors_count(name: str, layers: int) -> None:
    """Names carry the number of weighted layers: Simonyan's, He's, Huang's; Szegedy et al. 2014,
    Section 5, count 22 and Krizhevsky et al. 2012, Section 3.5, 8. SE-ResNet-50 keeps its 50."""
    assert weighted_layers(meta_network(name)) == layers


@pytest.mark.parametrize("name", ["cifar_plain20", "cifar_resnet32", "cifar_se_resnet20"])
def test_layers_of_small_networks(name: str) -> None:
    assert weighted_layers(meta_network(name), 32) == int(name[-2:])


def test_layers_of_a_row_of_a_fork_and_of_a_gate() -> None:
    """The longest of the ways through, whatever joins them, and no path that ends nowhere."""

    class Fork(ImageClassifier):
        def __init__(self) -> None:
            super().__init__(num_classes=2, in_channels=1)
            self.long = nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(3)))
            self.short, self.unused = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1)
            self.last = nn.Linear(1, 2)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.unused(self.long(images))
            both = torch.cat([self.long(images) + self.short(images), images])
            logits: torch.Tensor = self.last(both.mean((2, 3)))
            return logits

    assert weighted_layers(Fork(), 4) == 4


def test_only_senet_is_miscounted() -> None:
    row = judged("ilsvrc.layers")
    stated = ROWS["ilsvrc.layers"].stated
    assert {key: v for key, v in row.computed.items() if v != stated[key]} == {"senet": 154}
    assert row.verdict == "wrong"
    assert "154" in row.explanation


def test_only_zfnet_has_anothers_figure() -> None:
    """VGG's Table 7 (arXiv:1409.1556) has 14.8 for Zeiler and Fergus, 11.7 for Clarifai."""
    row = judged("ilsvrc.top5")
    stated = ROWS["ilsvrc.top5"].stated
    off = {key for key in stated if abs(row.computed[key] - stated[key]) > 0.2}
    assert off == {"zfnet"}
    assert row.verdict == "wrong"
    assert row.computed["clarifai"] == stated["zfnet"]
    single = row.computed["one network, validation"]
    assert all(single[key] > row.computed[key] for key in single)
    assert single["senet"] == pytest.approx(
        100 * (1 - (model_card("senet154").published[0].top5 or 0))
    )


def test_the_row_is_right_once_the_figure_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(depth._TOP5, "zfnet", (11.7, 11.7))
    assert judged("ilsvrc.top5").verdict == "rounded"


@pytest.mark.parametrize("kind", ["plain", "resnet"])
def test_deep_networks_imitate_shallow_ones(kind: str) -> None:
    torch.manual_seed(0)
    shallow, deep = (build_model(f"cifar_{kind}{n}").double() for n in (20, 32))
    images = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        shallow.train()(images)
        wanted, before = shallow.eval()(images), deep.eval()(images)
        imitate(deep, shallow)
        assert not torch.allclose(before, wanted)
        torch.testing.assert_close(deep(images), wanted, rtol=1e-12, atol=1e-12)
        assert wanted.std() > 1e-3, "logits that tell images apart"
        for number, parameter in enumerate(shallow.parameters()):
            parameter.add_(0.01 * (number + 1))
        torch.testing.assert_close(deep(images), wanted, rtol=1e-12, atol=1e-12)


def test_a_network_that_is_not_the_identity_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged("degradation.identity_construction").verdict == "demonstrated"
    monkeypatch.setattr(depth, "_make_identity", lambda block: None)
    assert judged("degradation.identity_construction").verdict == "not-reproduced"
