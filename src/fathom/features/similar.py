"""What features say of a set of images: which are copies, which fit no class, which fit another.

Images are compared by the cosine between their features. Everything works in blocks, so that memory
grows with the number of images and not with that of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.errors import require

# Of EfficientNet-Lite0, photographs and their re-encoded, mirrored or slightly cropped copies lie
# above, other photographs far below; small gray images lie closer together.
COPY = 0.9
CUT = 3.5
_ROUNDING = 1e-5  # the cosine of copies may be so far below 1
_BLOCK = 2048  # rows of a block of pairs
_HELD = 2**25  # cosines held at once where every row needs all others
_LEAST_SPREAD = 0.01  # a class of copies has none, and rounding is no sign of anything


@dataclass(frozen=True)
class Pair:
    """Two rows, first < second, with the cosine between them; exact where checksums agree, too."""

    first: int
    second: int
    cosine: float
    exact: bool


@dataclass(frozen=True)
class Duplicates:
    """How many pairs there are, and the most similar of them, the exact and the nearest first."""

    count: int
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Outlier:
    """A row unlike the rest of its class, by a score that is above CUT."""

    row: int
    score: float


@dataclass(frozen=True)
class Stranger:
    """A row whose neighbours are of another class: which, and what share of them."""

    row: int
    target: int
    share: float


def near_duplicates(
    values: Tensor,
    *,
    threshold: float = COPY,
    checksum: Callable[[int], int | None] | None = None,
    most: int = 10_000,
) -> Duplicates:
    """(N, D) features -> the pairs of rows whose cosine is at least a threshold.

    checksum: that of the image of a row as stored, asked for where the features are the same; pairs
    with one checksum are marked as exact. most: pairs to return; all are counted. Raises UserError
    for a threshold outside 0 to 1.
    """
    require(0 < threshold <= 1, f"the threshold is {threshold:g}; a cosine lies between 0 and 1")
    unit = F.normalize(values, dim=1)
    count = 0
    rows, cosines = torch.empty(0, 2, dtype=torch.int64), torch.empty(0)
    for top in range(0, len(unit), _BLOCK):
        for left in range(top, len(unit), _BLOCK):
            block = unit[top : top + _BLOCK] @ unit[left : left + _BLOCK].T
            if left == top:
                block = block.triu(1)
            near = (block >= threshold - _ROUNDING).nonzero()
            count += len(near)
            cosines = torch.cat((cosines, block[near[:, 0], near[:, 1]]))
            rows = torch.cat((rows, near + torch.tensor([top, left])))
            best = cosines.argsort(descending=True, stable=True)[:most]
            rows, cosines = rows[best], cosines[best]

    def exact(i: int, j: int, cosine: float) -> bool:
        if checksum is None or cosine < 1 - _ROUNDING:
            return False
        first = checksum(i)
        return first is not None and first == checksum(j)

    pairs = [
        Pair(i, j, min(cosine, 1.0), exact(i, j, cosine))
        for (i, j), cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
    ]
    pairs.sort(key=lambda pair: (not pair.exact, -pair.cosine))
    return Duplicates(count, tuple(pairs))


def nearest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """(N, D) features -> cosines and rows, (N, k) each, of every row's nearest others."""
    unit = F.normalize(values, dim=1)
    cosines, rows = [], []
    step = max(1, _HELD // len(unit))
    for start in range(0, len(unit), step):
        block = unit[start : start + step] @ unit.T
        block[torch.arange(len(block)), torch.arange(start, start + len(block))] = -2.0
        found = block.topk(k, 1)
        cosines.append(found.values)
        rows.append(found.indices)
    return torch.cat(cosines), torch.cat(rows)


def outliers(values: Tensor, targets: Tensor, *, k: int = 5) -> tuple[Outlier, ...]:
    """(N, D) features, (N,) targets -> rows far from the rest of their class, the furthest first.

    A row's distance is the mean of 1 - cosine to the k nearest of its class; its score says how far
    that is above the median of the class, in deviations: 0.6745 times the difference, over the
    median absolute deviation. Rows above CUT, 3.5, are returned. Classes of k images or fewer have
    nothing typical and are left out.

    Source: the distance, Angiulli and Pizzuti 2002 (PKDD, "Fast Outlier Detection in High
    Dimensional Spaces"); the score and its cut, Iglewicz and Hoaglin 1993 ("How to Detect and
    Handle Outliers"). Departure: the deviation is at least 0.01.
    """
    found = []
    for label in (targets.bincount() > k).nonzero().flatten():
        rows = (targets == label).nonzero().flatten()
        distances = 1 - nearest(values[rows], k)[0].mean(1)
        above = distances - distances.median()
        spread = above.abs().median().clamp_min(_LEAST_SPREAD)
        scores = 0.6745 * above / spread
        found += [
            Outlier(row, score)
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
            if score > CUT
        ]
    return tuple(sorted(found, key=lambda outlier: -outlier.score))


def strangers(
    values: Tensor, targets: Tensor, *, k: int = 10, share: float = 0.8
) -> tuple[Stranger, ...]:
    """(N, D) features, (N,) targets -> rows whose neighbours agree on another class.

    Of the k nearest rows of any class at least a share are of one other class: the label may be
    wrong. The most agreed first, and of those the nearest. Rows of classes of k images or fewer,
    which could not outvote another class, are left out.

    Source: Wilson 1972 (IEEE Transactions on Systems, Man, and Cybernetics 2, 408-421), who edits
    out what the majority of its neighbours contradicts. Departure: a larger majority of more
    neighbours.
    """
    large = targets.bincount() > k
    if not large.any():
        return ()
    cosines, rows = nearest(values, k)
    votes = torch.zeros(len(values), len(large))
    votes.scatter_add_(1, targets[rows], torch.ones_like(cosines))
    votes[torch.arange(len(values)), targets] = 0
    shares, others = (votes / k).max(1)
    order = torch.argsort(cosines.mean(1), descending=True, stable=True).tolist()
    clear = (shares >= share - _ROUNDING) & large[targets]
    chosen = [row for row in order if clear[row]]
    chosen.sort(key=lambda row: -float(shares[row]))
    return tuple(Stranger(row, int(others[row]), float(shares[row])) for row in chosen)
