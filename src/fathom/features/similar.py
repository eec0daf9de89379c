"""What features say of a set of images: which are copies, which fit no class, which fit another.

Images are compared by the cosine between their features. Everything works in blocks, so that memory
grows with the number of images and not with that of pairs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
_RANK = torch.tensor([4.0, 2.0, 1.0], dtype=torch.float64)  # of two parts, exact, cosine
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
    """How many pairs there are, and the first of them.

    across: pairs of rows of two parts; exact: pairs of rows with one checksum. The first pairs are
    those of two parts; among these, and among the others, the exact; then the nearest.
    """

    count: int
    across: int
    exact: int
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
    parts: Tensor | None = None,
    checksum: Callable[[int], int | None] | None = None,
    most: int = 10_000,
) -> Duplicates:
    """(N, D) features -> the pairs of rows whose cosine is at least a threshold.

    parts: (N,) the part of the data that a row is of, as a number; without it all are of one.
    checksum: that of the image of a row as stored, asked for once where the features are the same
    as another's; pairs with one checksum are exact. most: pairs to return; all are counted. Raises
    UserError for a threshold outside 0 to 1.
    """
    require(0 < threshold <= 1, f"the threshold is {threshold:g}; a cosine lies between 0 and 1")
    unit = F.normalize(values, dim=1)
    files = _Files(len(unit), checksum)
    counts = torch.zeros(3, dtype=torch.int64)
    rows, signs = torch.empty(0, 2, dtype=torch.int64), torch.empty(0, 3, dtype=torch.float64)
    for near, cosines in _near_pairs(unit, threshold):
        across = torch.zeros(len(near), dtype=torch.bool)
        if parts is not None:
            across = parts[near[:, 0]] != parts[near[:, 1]]
        exact = files.same(near, cosines)
        counts += torch.stack((torch.ones_like(across), across, exact)).sum(1)
        rows = torch.cat((rows, near))
        signs = torch.cat((signs, torch.stack((across, exact, cosines), 1)))
        best = (signs @ _RANK).argsort(descending=True, stable=True)[:most]
        rows, signs = rows[best], signs[best]
    pairs = (
        Pair(first, second, cosine, bool(exact))
        for (first, second), (_, exact, cosine) in zip(rows.tolist(), signs.tolist(), strict=True)
    )
    count, between, same = counts.tolist()
    return Duplicates(count, between, same, tuple(pairs))


def _near_pairs(unit: Tensor, threshold: float) -> Iterator[tuple[Tensor, Tensor]]:
    """(N, D) of length 1 -> (P, 2) rows, first < second, and their (P,) cosines, block by block."""
    for top in range(0, len(unit), _BLOCK):
        for left in range(top, len(unit), _BLOCK):
            block = unit[top : top + _BLOCK] @ unit[left : left + _BLOCK].T
            if left == top:
                block = block.triu(1)
            near = (block >= threshold - _ROUNDING).nonzero()
            cosines = block[near[:, 0], near[:, 1]].clamp_max(1)
            yield near + torch.tensor([top, left]), cosines


class _Files:
    """Which of so many rows have one checksum; without checksums, none."""

    def __init__(self, count: int, checksum: Callable[[int], int | None] | None) -> None:
        self._checksum = checksum
        self._first = torch.full((count,), -1)  # row with the same checksum; -1: not yet asked
        self._rows: dict[int, int] = {}

    def same(self, near: Tensor, cosines: Tensor) -> Tensor:
        """(P, 2) rows, (P,) cosines -> (P,) bool; asked are rows whose features are the same."""
        exact = cosines >= 1 - _ROUNDING
        if self._checksum is None:
            return torch.zeros_like(exact)
        wanted = torch.zeros(len(self._first), dtype=torch.bool)
        wanted[near[exact].flatten()] = True
        for row in (wanted & (self._first < 0)).nonzero().flatten().tolist():
            found = self._checksum(row)
            self._first[row] = row if found is None else self._rows.setdefault(found, row)
        return exact & (self._first[near[:, 0]] == self._first[near[:, 1]])


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
