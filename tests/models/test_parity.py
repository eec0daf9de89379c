"""Every network equal to its peer in torchvision and timm: weights, logits, loss and gradients.

Both networks compute in float64, so that what is compared is the network and not the order of
rounding. Dropout and stochastic depth are off. Small networks are compared in every test run, all
of them by `make parity`; shapes and names of all of them are compared on the meta device.
"""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

import fathom
from fathom.models.base import ImageClassifier, TrainingLogits
from fathom.models.cards import ModelCard
from fathom.weights.load import load_weights, reference_state_dict

PEERS = [
    (name, library)
    for name in fathom.list_models()
    for library in ("torchvision", "timm")
    if getattr(fathom.model_card(name), library)
]
_SMALL = 9_000_000  # parameters up to which values are compared in every test run


def peer(card: ModelCard, library: str, **settings: Any) -> nn.Module:
    """The other library's network of this card."""
    if library == "timm":
        return timm.create_model(card.timm, **settings)
    if card.torchvision in ("googlenet", "inception_v3"):
        settings = {"init_weights": False, **settings}
    found: nn.Module = torchvision.models.get_model(card.torchvision, **settings)
    return found


def calm(model: nn.Module) -> nn.Module:
    """Switch off everything random."""
    for module in model.modules():
        for name in ("p", "drop", "drop_prob", "drop_rate"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return model


@pytest.mark.parametrize(("name", "library"), PEERS)
def test_names_and_shapes_equal(name: str, library: str) -> None:
    """Counts equal, and a strict load in both directions."""
    card = fathom.model_card(name)
    with torch.device("meta"):
        mine, theirs = fathom.create_model(name), peer(card, library)
    count = sum(p.numel() for p in theirs.parameters())
    assert sum(p.numel() for p in mine.parameters()) == count
    found = reference_state_dict(mine, library)
    expected = theirs.state_dict()
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in expected.items()}


def sizes(model: ImageClassifier) -> tuple[int, int]:
    """Two sides of images, one of them odd, that the strides allow."""
    return max(64, model.min_size), max(97, model.min_size + 33)


def loss_of(output: Any, targets: Tensor, weight: float) -> Tensor:
    """Cross entropy, and that of auxiliary classifiers times their weight."""
    logits, *auxiliary = output if isinstance(output, tuple) else (output,)
    if auxiliary and isinstance(output, TrainingLogits):
        auxiliary = list(output.auxiliary)
    loss = F.cross_entropy(logits, targets)
    return loss + weight * sum((F.cross_entropy(a, targets) for a in auxiliary), torch.zeros(()))


def assert_equal_everywhere(name: str, library: str) -> None:
    """Weights both ways, evaluation logits at two sizes, loss and every gradient in training."""
    card = fathom.model_card(name)
    torch.manual_seed(0)
    theirs = calm(peer(card, library, num_classes=10)).double()
    mine = fathom.create_model(name, num_classes=10).double()
    calm(mine)
    small, odd = sizes(mine)
    targets = torch.tensor([1, 3, 8])
    with torch.no_grad():  # running statistics that are not the ones of the start
        theirs.train()(torch.randn(3, 3, small, small, dtype=torch.float64))
    loaded = load_weights(mine, theirs.state_dict())
    assert not loaded.replaced
    theirs.load_state_dict(reference_state_dict(mine, library), strict=True)
    for side in (small, odd):
        images = torch.randn(2, 3, side, side, dtype=torch.float64)
        with torch.no_grad():
            a, b = mine.eval()(images), theirs.eval()(images)
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()
    images = torch.randn(3, 3, small, small, dtype=torch.float64)
    losses = [
        loss_of(model.train()(images), targets, mine.auxiliary_weight) for model in (mine, theirs)
    ]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-4, atol=0)
    for loss in losses:
        loss.backward()  # type: ignore[no-untyped-call]
    names = {k: v.name for k, v in reference_names(mine, library).items()}
    gradients = dict(theirs.named_parameters())
    largest = max(float(p.grad.abs().max()) for p in gradients.values() if p.grad is not None)
    for own_name, parameter in mine.named_parameters():
        other = gradients[names[own_name]].grad
        assert parameter.grad is not None
        assert other is not None
        other = other.reshape(parameter.shape)
        gap = (parameter.grad - other).abs().max()
        assert gap <= 1e-4 * other.abs().max() + 1e-12 * largest, own_name


def reference_names(model: ImageClassifier, library: str) -> dict[str, Any]:
    """Our parameter names -> theirs."""
    from fathom.models.keys import translate

    return translate(model.state_dict(), model.key_maps()[library])


def is_small(name: str) -> bool:
    return fathom.model_card(name).params <= _SMALL


@pytest.mark.parametrize(("name", "library"), [p for p in PEERS if is_small(p[0])])
def test_small_networks_compute_the_same(name: str, library: str) -> None:
    assert_equal_everywhere(name, library)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "library"), [p for p in PEERS if not is_small(p[0])])
def test_large_networks_compute_the_same(name: str, library: str) -> None:
    assert_equal_everywhere(name, library)
