"""A probe: a linear classifier on frozen features, its strength chosen by cross-validation.

Features are centred, and scaled by one number, so that a row's mean square length is 1; the
strength is then the precision of a prior on the weights of a logit, whatever the network, and
whatever the number of images. Both are undone in the result, which takes raw features.

Strength and confidence are two questions. A penalty strong enough for few images makes logits too
small, and the log loss of a held-out image would choose a weaker one only to be surer. So every
strength is judged by its held-out log loss after the best single factor on its logits (Guo et al.
2017, arXiv:1706.04599, Section 4.2, who divide by a temperature), and the factor of the strength
chosen is multiplied into the weights: the probe's probabilities are meant as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.errors import require
from fathom.evaluate import calibration
from fathom.runtime import generator
from fathom.transfer.logistic import Logistic, eigenbasis
from fathom.transfer.rows import Rows

STRENGTHS = tuple(10 ** (half / 2) for half in range(4, -9, -1))  # 100 to 0.0001
MOST_FOLDS = 5
FEWER_FOLDS = 3, 20_000  # so many folds beyond so many images, where one more costs more than it is
# Without a second image of any class nothing can be held out: a strength near the most accurate for
# one image a class, and the factor of lowest loss for it, as measured in docs/results/transfer.md.
BLIND_STRENGTH, BLIND_FACTOR = 1.0, 7.0
_LOOSE = 1e-3  # tolerance of fits that only choose
_PATIENCE = 3  # strengths without a better score before the path ends
_FACTORS = 0.1, 100.0


@dataclass(frozen=True)
class Score:
    """A strength on held-out images: the best factor on its logits, log loss with it, and top1.

    The loss is against smoothed targets, see `_score`.
    """

    strength: float
    factor: float
    loss: float
    top1: float


@dataclass(frozen=True)
class Probe:
    """A fitted probe: weight (K, D) and bias (K,) for raw features.

    scores: every strength that was tried, the strongest first; empty where nothing could be held
    out. scored (G,): the row of each image that was held out once; held_out (G, K): its logits from
    the fold that did not see it. cv_top1, cv_loss, cv_ece: those logits measured, None without
    them. One factor and the strength were chosen on them, which makes them a little optimistic;
    `folds` - 1 of `folds` parts of the images trained them, which makes them pessimistic.
    """

    weight: Tensor
    bias: Tensor
    strength: float
    factor: float
    folds: int
    scores: tuple[Score, ...]
    scored: Tensor
    held_out: Tensor
    cv_top1: float | None
    cv_loss: float | None
    cv_ece: float | None

    def logits(self, values: Tensor) -> Tensor:
        """(N, D) features -> (N, K) logits."""
        return values @ self.weight.T + self.bias


def fit_probe(
    values: Tensor,
    targets: Tensor,
    *,
    num_classes: int,
    seed: int,
    groups: Tensor | None = None,
    strengths: Sequence[float] = STRENGTHS,
    folds: int | None = None,
    balanced: bool = False,
) -> Probe:
    """Features (N, D) float32 and targets (N,) -> a linear classifier on them.

    Args:
        values: features, in one row an image, or several where an image has several views.
        num_classes: K; every class needs a row.
        seed: of the folds.
        groups: (N,) the image that each row is a view of. Views of one image stay in one fold, and
            share a weight of 1; the first of them is the one that is scored.
        strengths: L2 penalties to choose from. They are tried from the strongest on, until three in
            a row have brought nothing. One alone is taken as it is; its factor is still chosen.
        folds: parts of the cross-validation, of which each class is spread over as many as it
            has images. By default 5, 3 beyond 20,000 images, and never more than the largest class
            has images.
        balanced: give every class the same weight, as if all were equally frequent. Otherwise the
            fit, the choice and the probabilities are for images as frequent as the given ones.

    A class with one image trains every fold and is never held out. Where no class has two, the
    strength is 1 and the factor 7. Raises UserError for a class without rows, for fewer than two
    classes, for features that are not finite, and for settings out of range.
    """
    rows = Rows.of(values, targets, num_classes, groups)
    strengths = sorted(set(strengths), reverse=True)
    require(len(strengths) > 0, "a probe has no strengths to choose from; give one or more")
    require(folds is None or folds >= 2, f"a probe needs 2 or more folds, not {folds}")
    fold, parts = _deal(rows, folds, seed)
    centre = values.mean(0)
    centred = values - centre
    scale = centred.square().sum(1).mean().sqrt().item() or 1.0
    basis, coordinates = eigenbasis(centred.div_(scale))
    weights = rows.weights(balanced)
    search = _search(rows, coordinates, weights, fold, parts, strengths)
    problem = Logistic(coordinates, targets, num_classes=num_classes, weights=weights[None])
    theta = problem.fit(search.strength, search.start)[0]
    weight = theta[:, :-1] @ basis.T * (search.factor / scale)
    bias = search.factor * (theta[:, -1] - theta[:, -1].mean()) - weight @ centre
    top1, loss, ece = _measured(search.held_out, targets[search.scored])
    return Probe(
        weight=weight,
        bias=bias,
        strength=search.strength,
        factor=search.factor,
        folds=parts,
        scores=search.scores,
        scored=search.scored,
        held_out=search.held_out,
        cv_top1=top1,
        cv_loss=loss,
        cv_ece=ece,
    )


@dataclass(frozen=True)
class _Search:
    """What the cross-validation found; start is a theta for the fit to all rows."""

    strength: float
    factor: float
    scores: tuple[Score, ...]
    scored: Tensor
    held_out: Tensor
    start: Tensor | None


def _deal(rows: Rows, folds: int | None, seed: int) -> tuple[Tensor, int]:
    """(G,) the fold of each image, -1 for one that is never held out, and the number of folds.

    The shuffled images of class after class are dealt in turn, so that folds and the classes in
    them differ by one image at most.
    """
    counts = torch.bincount(rows.classes, minlength=rows.num_classes)
    fewer, many = FEWER_FOLDS
    wanted = folds or (fewer if len(rows.firsts) > many else MOST_FOLDS)
    parts = min(wanted, int(counts.max()))
    fold = torch.full((len(rows.firsts),), -1)
    if parts < 2:
        return fold, 0
    order = torch.randperm(len(fold), generator=generator(seed, "folds"))
    order = order[rows.classes[order].argsort(stable=True)]
    order = order[counts[rows.classes[order]] > 1]
    fold[order] = torch.arange(len(order)) % parts
    return fold, parts


def _search(
    rows: Rows, coordinates: Tensor, weights: Tensor, fold: Tensor, parts: int,
    strengths: Sequence[float],
) -> _Search:  # fmt: skip
    """Go down the strengths, all folds at once, until their scores stop getting better."""
    if not parts:
        strength = strengths[0] if len(strengths) == 1 else BLIND_STRENGTH
        nothing = torch.zeros(0, dtype=torch.int64), torch.zeros(0, rows.num_classes)
        return _Search(strength, BLIND_FACTOR, (), *nothing, None)
    masks = torch.stack([(fold != part)[rows.groups].float() for part in range(parts)])
    problem = Logistic(
        coordinates, rows.targets, num_classes=rows.num_classes, weights=masks * weights
    )
    scored = rows.firsts[fold >= 0]
    own = fold[fold >= 0]
    counted = (weights * torch.bincount(rows.groups)[rows.groups])[scored]  # a whole image's
    theta = None
    scores: list[Score] = []
    best: tuple[Score, Tensor, Tensor] | None = None
    for strength in strengths:
        theta = problem.fit(strength, theta, tolerance=_LOOSE)
        logits = _held_out_logits(theta, coordinates[scored], own)
        scores.append(_score(strength, logits, rows.targets[scored], counted))
        if best is None or scores[-1].loss < best[0].loss:
            best = scores[-1], scores[-1].factor * logits, theta.mean(0, keepdim=True)
        if min(score.loss for score in scores[-_PATIENCE:]) > best[0].loss:
            break
    assert best is not None
    found, held_out, start = best
    return _Search(found.strength, found.factor, tuple(scores), scored, held_out, start)


def _held_out_logits(theta: Tensor, coordinates: Tensor, own: Tensor) -> Tensor:
    """(F, K, M + 1) fits and (G, M) images -> (G, K), each from the fit of its own fold."""
    logits = torch.empty(len(own), theta.shape[1])
    for part, fit in enumerate(theta):
        inside = own == part
        logits[inside] = coordinates[inside] @ fit[:, :-1].T + fit[:, -1]
    return logits


def _score(strength: float, logits: Tensor, targets: Tensor, weights: Tensor) -> Score:
    """Held-out logits with the best single factor on them.

    The targets are smoothed as if there had been one more image, of any class: a few images that
    are all right would else make the factor endless. Source: Platt 1999, "Probabilistic outputs for
    support vector machines", Section 2.2, where it is one more image of either class.
    """
    from scipy.optimize import minimize_scalar  # type: ignore[import-untyped]  # half a second

    smoothing = 1 / (len(logits) + 1)

    def loss(power: float) -> float:
        scaled = logits * math.exp(power)
        terms = F.cross_entropy(scaled, targets, reduction="none", label_smoothing=smoothing)
        return float((terms.double() * weights).sum() / weights.sum())

    low, high = map(math.log, _FACTORS)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3})
    top1 = (logits.argmax(1) == targets).double().mean().item()
    return Score(strength, math.exp(found.x), float(found.fun), top1)


def _measured(logits: Tensor, targets: Tensor) -> tuple[float | None, float | None, float | None]:
    """Held-out top1, log loss and expected calibration error."""
    if not len(logits):
        return None, None, None
    confidence, predicted = logits.softmax(1).max(1)
    right = predicted == targets
    ece = sum(b.count * abs(b.accuracy - b.confidence) for b in calibration(confidence, right))
    loss = F.cross_entropy(logits.double(), targets).item()
    return right.double().mean().item(), loss, ece / len(targets)
