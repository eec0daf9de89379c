import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fathom.doctor.observed import Look, Passes
from fathom.doctor.signals import Pass, look_at_logits, reading


def test_dead_channels_zeros_and_deviations() -> None:
    conv = nn.Conv2d(4, 2, 1)
    x = torch.ones(3, 4, 2, 2)
    x[:, 1] = 0
    x[0, 2] = 0
    found = Pass()
    with reading(conv, found):
        output = conv(x)
    seen = found.signals[""]
    assert seen.dead == 0.25
    assert seen.zeros == pytest.approx(1 / 4 + 1 / 12)
    assert seen.std == pytest.approx(float(output.detach().std(correction=0)), abs=1e-6)
    assert not conv._forward_hooks


def test_channels_of_a_linear_layer_are_last() -> None:
    linear, found = nn.Linear(4, 2), Pass()
    with reading(linear, found):
        linear(torch.tensor([[0.0, 1, 1, 1], [0, 1, 1, 0]]))
    assert found.signals[""].dead == 0.25


def test_ends_of_a_bounded_activation() -> None:
    act, found = nn.Tanh(), Pass()
    with reading(act, found):
        act(torch.tensor([-9.0, 0.0, 1.0, 9.0]))
    assert found.signals[""].saturated == 0.5


def test_a_small_rest_of_an_epoch_does_not_make_batches_small() -> None:
    norm, passes = nn.BatchNorm2d(3), Passes()
    for images in (16, 1, 16):
        found = Pass()
        with reading(norm, found):
            norm(torch.randn(images, 3, 4, 4))
        found.count(passes)
    assert passes.least_images == 16


def test_what_batch_norms_average_over() -> None:
    norm, found, passes = nn.BatchNorm2d(3), Pass(), Passes()
    norm.weight.requires_grad = False
    x = torch.randn(2, 3, 4, 4) + 5
    with reading(norm, found):
        norm(x)
    found.count(passes)
    assert (passes.least_images, passes.frozen_norms_moving) == (2, 1)
    # Hooks see the statistics as this batch has moved them: a tenth of the way to its own.
    assert found.drift[""] > 1
    assert found.seconds > 0


def test_norms_in_evaluation_mode_average_over_nothing() -> None:
    norm, found, passes = nn.BatchNorm2d(3).eval(), Pass(), Passes()
    with reading(norm, found):
        norm(torch.randn(2, 3, 4, 4))
    found.count(passes)
    assert passes == Passes()


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(st.integers(2, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_a_loss_is_told_for_what_it_is(classes: int, count: int, seed: int) -> None:
    source = torch.Generator().manual_seed(seed)
    shares = torch.randn(count, classes, generator=source).mul(3).softmax(1)
    targets = torch.randint(classes, (count,), generator=source)
    literal = -shares.gather(1, targets[:, None]).log().mean()
    as_logits = F.cross_entropy(shares, targets)
    rows = F.one_hot(targets, classes).float()
    for wanted in (targets, rows):
        passes = Passes()
        look_at_logits(shares, wanted, Look(1, float(as_logits), 0.1), passes)
        look_at_logits(shares, wanted, Look(1, float(literal), 0.1), passes)
        assert passes.probabilities == 2
        assert passes.sigmoids == 0
        apart = abs(float(literal) - float(as_logits)) > 1e-3
        assert passes.loss_of_logits == passes.loss_of_probabilities == apart


def test_logits_are_no_probabilities() -> None:
    passes, look = Passes(), Look(1, 1.0, 0.1)
    look_at_logits(torch.tensor([[-1.0, 1.0], [-2.0, 3.0]]), torch.tensor([1, 0]), look, passes)
    assert passes == Passes()
    look_at_logits(torch.zeros(2, 3), None, look, passes)  # as a head that begins at zero
    assert passes == Passes()


def test_sigmoids_lie_between_the_ends_without_being_shares() -> None:
    passes = Passes()
    values = torch.tensor([[0.2, 0.1], [0.9, 0.8]])
    loss = float(F.cross_entropy(values, torch.tensor([0, 0])))
    look_at_logits(values, torch.tensor([0, 0]), Look(1, loss, 0.1), passes)
    assert (passes.sigmoids, passes.probabilities, passes.loss_of_logits) == (1, 0, 1)
