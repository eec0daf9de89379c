"""Logistic regression against scikit-learn's, autograd, and itself one fit at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from fathom.errors import UserError
from fathom.transfer import logistic
from fathom.transfer.logistic import Logistic, eigenbasis
from tests.transfer.features import some_features

deterministic = settings(deadline=None, derandomize=True, database=None, max_examples=15)


def some_rows(counts: tuple[int, ...] = (30, 20, 10), width: int = 24) -> tuple[Tensor, Tensor]:
    values, targets = some_features(counts, width=width)
    rows = values - values.mean(0)
    return rows / rows.square().sum(1).mean().sqrt(), targets


@deterministic
@given(count=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 9))
def test_the_eigenbasis_is_a_rotation_of_the_rows(count: int, width: int, seed: int) -> None:
    rows = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    basis, coordinates = eigenbasis(rows)
    size = min(count, width)
    assert basis.shape == (width, size)
    assert coordinates.shape == (count, size)
    torch.testing.assert_close(basis.T @ basis, torch.eye(size), atol=1e-5, rtol=0)
    torch.testing.assert_close(coordinates @ basis.T, rows, atol=1e-4, rtol=0)
    products = coordinates.T @ coordinates
    lengths = products.diag()
    assert (products - lengths.diag()).abs().max() <= 1e-4 * lengths.max()
    assert (lengths[:-1] >= lengths[1:] - 1e-4 * lengths.max()).all()


@pytest.mark.parametrize("strength", [10.0, 0.3, 0.01])
@pytest.mark.parametrize("width", [24, 90])  # fewer than the rows, and more
@pytest.mark.parametrize("weighted", [False, True])
def test_coefficients_are_those_of_scikit_learn(
    strength: float, width: int, weighted: bool
) -> None:
    rows, targets = some_rows(width=width)
    weights = torch.ones(len(rows))
    if weighted:
        weights = torch.rand(len(rows), generator=torch.Generator().manual_seed(1)) + 0.1
    basis, coordinates = eigenbasis(rows)
    problem = Logistic(coordinates, targets, num_classes=3, weights=weights[None])
    (theta,) = problem.fit(strength, tolerance=1e-6)
    theirs = LogisticRegression(C=1 / strength, tol=1e-8, max_iter=10_000)
    theirs.fit(rows.double().numpy(), targets.numpy(), weights.double().numpy())
    weight = torch.tensor(theirs.coef_).float()
    assert (theta[:, :-1] @ basis.T - weight).norm() <= 1e-3 * weight.norm()
    bias = torch.tensor(theirs.intercept_).float()
    ours = theta[:, -1] - theta[:, -1].mean()
    torch.testing.assert_close(ours, bias - bias.mean(), atol=2e-3, rtol=1e-3)


def test_the_gradient_is_autograds() -> None:
    rows, targets = some_rows()
    weights = torch.rand(2, len(rows), generator=torch.Generator().manual_seed(1))
    problem = Logistic(rows, targets, num_classes=3, weights=weights)
    theta = torch.randn(problem.shape, generator=torch.Generator().manual_seed(2))
    loss, gradient = problem.evaluate(theta, 0.7)
    theta.requires_grad_()
    for fit in range(2):
        logits = rows @ theta[fit, :, :-1].T + theta[fit, :, -1]
        terms = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        literal = (weights[fit] * terms).sum() + 0.35 * theta[fit, :, :-1].square().sum()
        assert loss[fit].item() == pytest.approx(literal.item(), rel=1e-5)
        (expected,) = torch.autograd.grad(literal, theta)
        torch.testing.assert_close(gradient[fit], expected[fit], atol=1e-4, rtol=1e-4)


def test_fits_share_rows_and_nothing_else() -> None:
    rows, targets = some_rows()
    masks = torch.stack([(torch.arange(len(rows)) % 3 != part).float() for part in range(3)])
    together = Logistic(rows, targets, num_classes=3, weights=masks).fit(0.1, tolerance=1e-6)
    for mask, fit in zip(masks, together, strict=True):
        kept = mask > 0
        alone = Logistic(
            rows[kept], targets[kept], num_classes=3, weights=torch.ones(1, int(kept.sum()))
        )
        torch.testing.assert_close(fit, alone.fit(0.1, tolerance=1e-6)[0], atol=3e-3, rtol=3e-3)


def test_rows_in_parts_give_the_same_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = some_rows()
    problem = Logistic(rows, targets, num_classes=3, weights=torch.ones(2, len(rows)))
    theta = torch.randn(problem.shape, generator=torch.Generator().manual_seed(2))
    whole = problem.evaluate(theta, 0.7)
    monkeypatch.setattr(logistic, "_CHUNK", 50)
    for parts, expected in zip(problem.evaluate(theta, 0.7), whole, strict=True):
        torch.testing.assert_close(parts, expected, atol=1e-4, rtol=1e-5)


def test_a_warm_start_ends_at_the_same_place_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, targets = some_rows()
    problem = Logistic(rows, targets, num_classes=3, weights=torch.ones(1, len(rows)))
    near = problem.fit(0.3)
    calls: list[float] = []
    evaluate = problem.evaluate

    def counted(theta: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        calls.append(strength)
        return evaluate(theta, strength)

    monkeypatch.setattr(problem, "evaluate", counted)
    cold = problem.fit(0.1, tolerance=1e-5)
    needed = len(calls)
    warm = problem.fit(0.1, near, tolerance=1e-5)
    assert len(calls) - needed < needed
    torch.testing.assert_close(warm, cold, atol=3e-3, rtol=3e-3)


def test_separable_rows_at_a_weak_strength_come_to_an_end() -> None:
    rows, targets = some_rows(width=90)
    problem = Logistic(rows, targets, num_classes=3, weights=torch.ones(1, len(rows)))
    theta = problem.fit(1e-4)
    assert theta.isfinite().all()
    assert ((rows @ theta[0, :, :-1].T + theta[0, :, -1]).argmax(1) == targets).all()


def test_a_strength_of_zero_is_refused() -> None:
    rows, targets = some_rows()
    problem = Logistic(rows, targets, num_classes=3, weights=torch.ones(1, len(rows)))
    with pytest.raises(UserError, match="must be above 0"):
        problem.fit(0.0)
