"""The convex problem behind a probe: multinomial logistic regression, several fits at once.

A fit minimises over theta = (W, b)

    sum_i w_i CE(W x_i + b, y_i) + strength / 2 |W|^2

with the rows x_i given, and the weights w_i of the rows a vector for each fit: zeros leave rows
out, so that the fits of all folds of a cross-validation share every product with the rows.

Rows are turned into the eigenbasis of their covariance first. The penalty does not see a rotation,
so this is exact; rows fewer than features leave as many coordinates as there are rows, and the
second derivative becomes nearly diagonal. L-BFGS starts from the inverse of that diagonal, which
takes a third of the evaluations of plain L-BFGS on features of EfficientNet-Lite0
(docs/results/transfer.md), and at weaker strengths from the fit of the last one.

An evaluation is two products, 4 N M F K operations for N rows of M coordinates, F fits and K
classes; all else is of the size N F K.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch
from torch import Tensor

from fathom.errors import require

MEMORY = 10  # pairs of steps and gradients that L-BFGS looks back on
MAX_STEPS = 300
_CUTS = 8  # of a step, to a third each
_CHUNK = 1 << 23  # logits in memory at once
_NOISE = 1e-6  # nats an image, of a loss from float32 logits
_SUREST = 1e-6  # mean p (1 - p), so that separable rows leave a curvature


def eigenbasis(rows: Tensor) -> tuple[Tensor, Tensor]:
    """(N, D) rows -> (D, M) orthonormal basis and (N, M) coordinates, M = min(N, D), widest first.

    The columns of the coordinates are orthogonal to each other.
    """
    basis = None
    if len(rows) < rows.shape[1]:
        basis, upper = torch.linalg.qr(rows.T)
        rows = upper.T
    turn = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)
    return turn if basis is None else basis @ turn, rows @ turn


class Logistic:
    """Rows (N, M), targets (N,) and weights (F, N) -> F fits, each (K, M + 1), the bias last.

    The columns of the rows should be orthogonal to each other, as `eigenbasis` makes them; fits are
    right for any, and faster for these.
    """

    def __init__(self, rows: Tensor, targets: Tensor, *, num_classes: int, weights: Tensor) -> None:
        self.rows = torch.cat([rows, torch.ones(len(rows), 1)], 1)
        self.targets = targets
        self.num_classes = num_classes
        self.weights = weights.T.contiguous()  # (N, F)
        self.shape = (len(weights), num_classes, self.rows.shape[1])

    def evaluate(self, theta: Tensor, strength: float) -> tuple[Tensor, Tensor]:
        """(F, K, M + 1) -> the objective of each fit, (F,) float64, and the gradient."""
        penalised = theta.clone()
        penalised[..., -1] = 0
        loss = strength / 2 * penalised.double().square().sum((1, 2))
        gradient = strength * penalised
        for rows, targets, weights in self._parts():
            logits = self._logits(rows, theta)
            place = targets[:, None, None].expand(-1, len(theta), 1)
            total = logits.logsumexp(2, keepdim=True)
            surprise = (total - logits.gather(2, place))[..., 0]
            loss += (weights * surprise).sum(0, dtype=torch.float64)
            excess = logits.sub_(total).exp_()
            excess.scatter_add_(2, place, torch.full((1, 1, 1), -1.0).expand(place.shape))
            excess *= weights[..., None]
            gradient += (excess.view(len(rows), -1).T @ rows).view(self.shape)
        return loss, gradient

    def fit(
        self, strength: float, start: Tensor | None = None, *, tolerance: float = 1e-4
    ) -> Tensor:
        """The minimisers (F, K, M + 1), until every gradient is `tolerance` times that at zero.

        Both are measured in the inverse of the curvature. Source: Nocedal and Wright 2006,
        "Numerical Optimization", Algorithm 7.4, with one step length for each fit.
        """
        require(strength > 0, f"the strength of a probe is {strength:g}; it must be above 0")
        theta = torch.zeros(self.shape) if start is None else start.expand(self.shape)
        loss, gradient = self._at_zero if start is None else self.evaluate(theta, strength)
        inverse = self._inverse_curvature(theta, strength)
        goal = tolerance**2 * _dot(self._at_zero[1], self._at_zero[1] * inverse)
        history: list[tuple[Tensor, Tensor]] = []
        for _ in range(MAX_STEPS):
            if bool((_dot(gradient, gradient * inverse) <= goal).all()):
                break
            direction = _direction(gradient, inverse, history)
            before = theta, gradient
            theta, loss, gradient = self._search(theta, loss, gradient, direction, strength)
            if torch.equal(theta, before[0]):
                break  # losses are compared at the end of float32
            history = [*history, (theta - before[0], gradient - before[1])][-MEMORY:]
        return theta

    @cached_property
    def _at_zero(self) -> tuple[Tensor, Tensor]:
        """Objective and gradient at zero, the same for every strength."""
        return self.evaluate(torch.zeros(self.shape), 0.0)

    def _parts(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Rows, targets and weights, so many at a time that their logits fit into memory."""
        size = max(1, _CHUNK // (self.shape[0] * self.shape[1]))
        parts = (torch.split(part, size) for part in (self.rows, self.targets, self.weights))
        return zip(*parts, strict=True)

    def _logits(self, rows: Tensor, theta: Tensor) -> Tensor:
        """(N, M + 1) rows -> (N, F, K)."""
        return (rows @ theta.reshape(-1, theta.shape[2]).T).view(-1, *theta.shape[:2])

    def _inverse_curvature(self, theta: Tensor, strength: float) -> Tensor:
        """(M + 1,) what the second derivative would be the inverse of, were all rows as unsure.

        That of class k in the direction of column j is sum_i w_i p_ik (1 - p_ik) x_ij^2, plus the
        strength; here p (1 - p) is replaced by its weighted mean over rows, classes and fits.
        """
        unsure = torch.zeros((), dtype=torch.float64)
        for rows, _, weights in self._parts():
            spread = 1 - self._logits(rows, theta).softmax(2).square().sum(2)
            unsure += (weights * spread).sum(dtype=torch.float64)
        share = float(unsure) / (self.shape[0] * self.num_classes * len(self.rows))
        curvature = max(share, _SUREST) * self.rows.square().sum(0)
        inverse = 1 / (curvature + strength)
        inverse[-1] = 1 / curvature[-1]
        return inverse

    def _search(
        self, theta: Tensor, loss: Tensor, gradient: Tensor, direction: Tensor, strength: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Full steps, cut to a third for the fits whose loss does not fall as it should.

        Where the loss changes by no more than float32 can tell, the slope decides, as in Hager and
        Zhang 2005 (SIAM J. Optim. 16, 170-192), Section 1. A fit that no cut helps stays in place.
        """
        slope = _dot(direction, gradient)
        noise = _NOISE * self.weights.sum(0)
        length = torch.ones_like(loss)
        for _ in range(_CUTS):
            new = theta + _each(length) * direction
            new_loss, new_gradient = self.evaluate(new, strength)
            falls = new_loss <= loss + 1e-4 * length * slope
            level = (new_loss <= loss + noise) & (_dot(direction, new_gradient).abs() <= -slope)
            bad = ~(falls | level)
            if not bool(bad.any()):
                return new, new_loss, new_gradient
            length = torch.where(bad, length / 3, length)
        stay = bad[:, None, None]
        return (
            torch.where(stay, theta, new),
            torch.where(bad, loss, new_loss),
            torch.where(stay, gradient, new_gradient),
        )


def _direction(gradient: Tensor, inverse: Tensor, history: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The two loops of L-BFGS, for each fit by itself; a pair of no curvature is passed over."""
    vector = gradient.clone()
    kept: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    scale = torch.ones(len(gradient), dtype=torch.float64)
    for step, change in reversed(history):
        along = _dot(step, change)
        rho = torch.where(along > 0, 1 / along, 0.0)
        if not kept:
            scale = torch.where(along > 0, along / _dot(change, change * inverse), 1.0)
        share = rho * _dot(step, vector)
        vector -= _each(share) * change
        kept.append((step, change, rho, share))
    vector *= inverse * _each(scale)
    for step, change, rho, share in reversed(kept):
        vector += _each(share - rho * _dot(change, vector)) * step
    return -vector


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """Inner products of each fit: (F, K, M) and (F, K, M) -> (F,) float64."""
    return (left * right).sum((1, 2), dtype=torch.float64)


def _each(numbers: Tensor) -> Tensor:
    """(F,) -> (F, 1, 1) float32."""
    return numbers.float()[:, None, None]
