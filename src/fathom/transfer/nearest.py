"""The cheap companions of a probe: the nearest class mean, and the nearest neighbours.

Both compare directions: features are centred by the mean of all rows and scaled to length 1.
Centring helps neighbours among few images, and changes class means little
(docs/results/transfer.md).

Their accuracy is by leaving one out: an image is judged without itself and its other views. Images
alone in their class are left out of it, as nothing could be right about them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.errors import require
from fathom.runtime import generator
from fathom.transfer.rows import Rows

TEMPERATURE = 0.07  # Wu et al. 2018, Section 3.4
COUNTS = (1, 5, 10, 20, 50, 100, 200)  # the paper's is 200, for 1,300 images a class
_CELLS = 1 << 24  # similarities in memory at once


@dataclass(frozen=True)
class ClassMeans:
    """centre (D,), and means (K, D) of length 1; top1 by leaving one out, None without a second
    image of any class."""

    centre: Tensor
    means: Tensor
    top1: float | None

    def scores(self, values: Tensor) -> Tensor:
        """(N, D) features -> (N, K) cosines with the class means."""
        return F.normalize(values - self.centre, dim=1) @ self.means.T


@dataclass(frozen=True)
class Neighbours:
    """centre (D,), rows (N, D) of length 1 and their targets: k of them vote.

    top1: by leaving one out for each k that was tried, of `judged` images; empty without a second
    image of any class, with k 1.
    """

    centre: Tensor
    rows: Tensor
    targets: Tensor
    num_classes: int
    k: int
    top1: dict[int, float]
    judged: int

    def scores(self, values: Tensor) -> Tensor:
        """(N, D) features -> (N, K) shares of the votes."""
        found = []
        for part in torch.split(values, _chunk(len(self.rows))):
            similar = F.normalize(part - self.centre, dim=1) @ self.rows.T
            near, place = similar.topk(self.k, 1)
            found.append(_votes(near, self.targets[place], self.num_classes))
        return torch.cat(found) if found else torch.zeros(0, self.num_classes)


def fit_means(
    values: Tensor, targets: Tensor, *, num_classes: int, groups: Tensor | None = None
) -> ClassMeans:
    """Features (N, D) and targets (N,) -> the mean direction of each class.

    groups (N,) names the image each row is a view of; the first row of an image is judged.
    Source: Mensink, Verbeek, Perronnin and Csurka 2013, "Distance-Based Image Classification"
    (TPAMI 35, 2624-2637).
    Departure: cosines of centred features, where the paper learns a metric.
    """
    rows = Rows.of(values, targets, num_classes, groups)
    centre = values.mean(0)
    unit = F.normalize(values - centre, dim=1)
    sums = torch.zeros(num_classes, values.shape[1]).index_add_(0, targets, unit)
    means = F.normalize(sums, dim=1)
    judged = _judged(rows)
    if not len(judged):
        return ClassMeans(centre, means, None)
    own = torch.zeros(len(rows.firsts), values.shape[1]).index_add_(0, rows.groups, unit)
    classes = targets[judged][:, None]
    others = F.normalize(sums[targets[judged]] - own[rows.groups[judged]], dim=1)
    scores = unit[judged] @ means.T
    scores.scatter_(1, classes, (unit[judged] * others).sum(1, keepdim=True))
    right = scores.argmax(1) == targets[judged]
    return ClassMeans(centre, means, right.double().mean().item())


def fit_neighbours(
    values: Tensor,
    targets: Tensor,
    *,
    num_classes: int,
    seed: int,
    groups: Tensor | None = None,
    most_judged: int = 5000,
) -> Neighbours:
    """Features (N, D) and targets (N,) -> their k nearest rows vote, exp(cosine / 0.07) each.

    groups is as in `fit_means`. k is the one of 1, 5, 10, 20, 50, 100, 200 with the best accuracy
    by leaving one out, the smallest of equals; more than `most_judged` images are judged by so
    many, drawn by seed. A judged image costs 2 N D operations, and memory is bounded.

    Source: Wu, Xiong, Yu and Lin 2018 (arXiv:1805.01978), Section 3.4.
    """
    require(most_judged >= 1, f"most_judged is {most_judged}; judge 1 image or more")
    rows = Rows.of(values, targets, num_classes, groups)
    centre = values.mean(0)
    unit = F.normalize(values - centre, dim=1)
    judged = _judged(rows)
    if len(judged) > most_judged:
        drawn = torch.randperm(len(judged), generator=generator(seed, "neighbours"))
        judged = judged[drawn[:most_judged].sort().values]
    others = len(values) - int(torch.bincount(rows.groups).max())
    counts = [k for k in COUNTS if k <= others] if len(judged) else []
    hits = dict.fromkeys(counts, 0)
    for part, near, place in _others(unit, rows, judged, max(counts, default=0)):
        for k in counts:
            votes = _votes(near[:, :k], targets[place[:, :k]], num_classes)
            hits[k] += int((votes.argmax(1) == targets[part]).sum())
    top1 = {k: found / len(judged) for k, found in hits.items()}
    best = max(counts, key=lambda k: (top1[k], -k), default=1)
    return Neighbours(centre, unit, targets, num_classes, best, top1, len(judged))


def _judged(rows: Rows) -> Tensor:
    """First rows of the images that are not alone in their class."""
    counts = torch.bincount(rows.classes, minlength=rows.num_classes)
    return rows.firsts[counts[rows.classes] > 1]


def _others(
    unit: Tensor, rows: Rows, judged: Tensor, most: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Judged rows with the cosines and places of their nearest rows of other images."""
    for part in torch.split(judged, _chunk(len(unit))):
        similar = unit[part] @ unit.T
        similar.masked_fill_(rows.groups[part][:, None] == rows.groups, -torch.inf)
        yield part, *similar.topk(most, 1)


def _votes(near: Tensor, targets: Tensor, num_classes: int) -> Tensor:
    """(N, k) cosines and classes -> (N, K) shares of the votes."""
    weights = (near / TEMPERATURE).softmax(1)
    return torch.zeros(len(near), num_classes).scatter_add_(1, targets, weights)


def _chunk(columns: int) -> int:
    return max(1, _CELLS // max(1, columns))
