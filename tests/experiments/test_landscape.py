"""Directions, surfaces, and what their shape is called."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from fathom.data.batches import Batch
from fathom.experiments.landscape import _findings, basin, direction, landscape, ring, surface
from fathom.experiments.nouns import Values
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from tests.images import CPU

from .scaffold import results, setting


@pytest.fixture
def model() -> ImageClassifier:
    torch.manual_seed(0)
    spec = {"depths": [1], "widths": [4]}
    net = build_model("cifar_resnet20", num_classes=3, in_channels=1, **spec)
    net.train()(torch.randn(8, 1, 8, 8))
    return net


def test_every_filter_of_a_direction_is_as_long_as_the_networks(model: ImageClassifier) -> None:
    found = direction(model, 0, "x")
    for noise, own in zip(found, model.parameters(), strict=True):
        if own.ndim == 1:
            assert not noise.any()
            continue
        for one, other in zip(noise, own, strict=True):
            length = sum(v**2 for v in other.flatten().tolist()) ** 0.5
            assert float(one.norm()) == pytest.approx(length, rel=1e-5)
    other = direction(model, 0, "y")
    assert all(torch.equal(a, b) for a, b in zip(found, direction(model, 0, "x"), strict=True))
    assert not torch.allclose(found[0], other[0])


def test_a_surface_is_the_loss_of_moved_weights(model: ImageClassifier) -> None:
    images, targets = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 0, 1])
    batches = [
        Batch(images[:3], targets[:3], torch.arange(3)),
        Batch(images[3:], targets[3:], torch.arange(3, 5)),
    ]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    one, other = (direction(model, 0, axis) for axis in "xy")
    places = [-1.0, 0.0, 0.5]
    found = surface(model, (one, other), places, batches, CPU)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    for row, y in zip(found, places, strict=True):
        for loss, x in zip(row, places, strict=True):
            moved = copy.deepcopy(model).eval()
            with torch.no_grad():
                for p, a, b in zip(moved.parameters(), one, other, strict=True):
                    p.add_(x * a + y * b)
                wanted = F.cross_entropy(moved(images), targets)
            assert loss == pytest.approx(float(wanted), rel=1e-4)


def test_a_loss_that_is_no_number_is_the_largest(model: ImageClassifier) -> None:
    batches = [Batch(torch.randn(2, 1, 8, 8), torch.tensor([0, 1]), torch.arange(2))]
    far = [torch.full_like(p, 1e38) for p in model.parameters()]
    assert surface(model, (far, far), [1.0], batches, CPU) == [[1e6]]


def test_basin_and_ring_of_a_bowl() -> None:
    places = [round(i / 10 - 1, 6) for i in range(21)]
    bowl = [[math.exp(x * x + y * y) for x in places] for y in places]
    inside = sum(x * x + y * y < 0.25 - 1e-9 for x in places for y in places)
    assert basin(bowl, math.exp(0.25 - 1e-9)) == pytest.approx(inside / 441)
    assert ring(bowl, places, 0.5) == pytest.approx(math.exp(0.25), rel=0.03)


def values(share: float, middle: float = 0.1) -> Values:
    return {
        "places": [-1.0, 0.0, 1.0],
        "losses": [[1.0] * 3] * 3,
        "guessing": 2.3,
        "middle": middle,
        "basin": share,
        "ring": 1.0,
        "train_error": 0.1,
    }


@pytest.mark.parametrize(
    ("plain", "residual", "said"),
    [
        ((0.1, 0.11, 0.12), (0.5, 0.51, 0.52), "as Li et al. 2018 found"),
        ((0.5, 0.51, 0.52), (0.1, 0.11, 0.12), "contradicts Li et al. 2018"),
        ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1), "show no difference"),
    ],
)
def test_findings_say_whose_basin_is_wider(
    plain: tuple[float, ...], residual: tuple[float, ...], said: str
) -> None:
    one, other = (arm.name for arm in landscape(setting()).arms)
    found = _findings(results({one: [*map(values, plain)], other: [*map(values, residual)]}))
    assert said in found.sentences[-1]
    assert "only guesses" not in " ".join(found.sentences)


def test_a_network_that_only_guesses_is_named() -> None:
    found = _findings(results({"plain": [values(0.1, 2.4)] * 3, "residual": [values(0.5)] * 3}))
    assert "only guesses" in found.sentences[0]
    assert "only guesses" not in found.sentences[1]
