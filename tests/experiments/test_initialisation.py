"""The scale of fresh weights: its formula, and both conclusions."""

import math

import pytest
import torch
from torch import Tensor

from fathom.experiments.initialisation import (
    DEVIATIONS,
    _findings,
    draw,
    initialisation,
    mean_squares,
)
from fathom.experiments.nouns import Values

from .scaffold import results, setting


@pytest.mark.parametrize(
    ("scheme", "variance"),
    [("Kaiming", 2 / 72), ("Xavier", 2 / 216), ("too small", 0.5 / 72), ("too large", 8 / 72)],
)
def test_weights_have_the_variance_of_their_scheme(scheme: str, variance: float) -> None:
    weights = draw((16, 8, 3, 3), scheme, 0, "test")
    assert weights.shape == (16, 8, 3, 3)
    assert weights.square().mean() == pytest.approx(variance, rel=0.1)
    assert torch.equal(weights, draw((16, 8, 3, 3), scheme, 0, "test"))
    assert not torch.equal(weights, draw((16, 8, 3, 3), scheme, 1, "test"))


def wrapped(x: Tensor, weight: Tensor) -> Tensor:
    """A 3x3 convolution whose maps go on at the other border, tap by tap."""
    out = torch.zeros(x.shape[0], weight.shape[0], *x.shape[2:], dtype=x.dtype)
    for row in range(3):
        for column in range(3):
            moved = x.roll((1 - row, 1 - column), (2, 3))
            out += torch.einsum("nchw,oc->nohw", moved, weight[:, :, row, column])
    return out


def test_mean_squares_are_those_of_the_layers_one_by_one() -> None:
    images = torch.randn(
        2, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    forward, backward = mean_squares(images, "Xavier", depth=3, seed=5)
    maps = [images]
    for layer in range(3):
        shape = (64, maps[-1].shape[1], 3, 3)
        maps.append(wrapped(maps[-1], draw(shape, "Xavier", 5, "initialisation", layer)).relu())
    squares = [float(m.square().mean()) for m in maps[1:]]
    assert forward == pytest.approx([s / squares[0] for s in squares])
    assert backward[-1] == 1
    assert len(backward) == 3


@pytest.mark.parametrize(
    ("scheme", "factor"),
    [("Kaiming", 1), ("Xavier", 1 / 2), ("too small", 1 / 4), ("too large", 4)],
)
def test_a_layer_changes_the_mean_square_as_theory_says(scheme: str, factor: float) -> None:
    images = torch.randn(
        4, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    runs = [mean_squares(images, scheme, depth=6, seed=seed) for seed in range(4)]
    for way in ([f[-1] for f, _ in runs], [b[0] for _, b in runs]):
        found = math.exp(sum(map(math.log, way)) / len(way) / 5)
        assert found == pytest.approx(factor, rel=0.15)


def ends(forward: float, backward: float) -> Values:
    return {"activations": [1.0, forward], "gradients": [backward, 1.0]}


def test_findings_say_whether_kaiming_alone_keeps_the_scale() -> None:
    assert [arm.name for arm in initialisation(setting()).arms] == list(DEVIATIONS)
    kept, lost = [ends(0.5, 2.0)] * 2, [ends(1e-9, 1e-8)] * 2
    found = _findings(results({arm: kept if arm == "Kaiming" else lost for arm in DEVIATIONS}))
    assert "Only Kaiming's" in found.sentences[-1]
    assert "Kaiming: after 2 layers" in found.sentences[0]
    assert "0.5 times that after the first, a factor of 0.50 a layer" in found.sentences[0]
    found = _findings(results(dict.fromkeys(DEVIATIONS, lost)))
    assert "both stay with none" in found.sentences[-1]
    found = _findings(results({arm: kept if arm == "Xavier" else lost for arm in DEVIATIONS}))
    assert "both stay with Xavier; the source leads one to expect" in found.sentences[-1]
