"""What the network answers where a grey square hides a part of the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from fathom.classifier import Classifier
from fathom.errors import require
from fathom.preprocess import Preprocess

_BATCH = 16
_FEWEST, _USUAL, _MOST = 5, 12, 20  # positions a side


@dataclass(frozen=True)
class Occlusion:
    """probabilities: (P, P) of the class, by the square's row and column; tops: (P, P) likeliest.

    starts: the square's first pixel at each position; side: of the square, in pixels. whole: the
    class's probability on the whole picture; top: what is likeliest there; grey: (C, 1, 1) uint8.
    """

    target: int
    probabilities: Tensor
    tops: Tensor
    starts: tuple[int, ...]
    side: int
    whole: float
    top: int
    grey: Tensor

    def covered(self, view: Tensor, place: tuple[int, int]) -> Tensor:
        """The view with the square at this position."""
        return _covered(view, self.grey, (self.starts[place[0]], self.starts[place[1]]), self.side)

    @property
    def worst(self) -> tuple[int, int]:
        """Row and column of the position that costs the class most."""
        place = int(self.probabilities.argmin())
        return place // len(self.starts), place % len(self.starts)

    @property
    def changed(self) -> int:
        """Positions at which another class is likeliest than on the whole picture."""
        return int((self.tops != self.top).sum())


def positions_within(passes: int) -> int:
    """How many positions a side so many passes allow: 5 at least, 20 at most."""
    return min(_MOST, max(_FEWEST, math.isqrt(passes)))


def occlude(
    classifier: Classifier,
    view: Tensor,
    *,
    target: int,
    positions: int = _USUAL,
    side: int | None = None,
) -> Occlusion:
    """(C, S, S) uint8 view -> the probability of a class, and the top class, by a square's place.

    The square is side pixels wide, a quarter of the view unless given, and takes so many positions
    down and across, evenly from edge to edge, or all that there are where they are fewer, each a
    pass of the network; its colour is the mean of the network's preprocessing. Raises UserError for
    a square larger than the view, and for less than one position.

    Source: Zeiler and Fergus 2013, arXiv:1311.2901, Section 4.2, whose square is grey, too.
    """
    size = view.shape[-1]
    side = max(1, size // 4) if side is None else side
    require(1 <= side <= size, f"the square has {side} pixels a side; use 1 to {size}")
    require(positions >= 1, f"{positions} positions a side; use 1 or more")
    positions = min(positions, size - side + 1)
    starts = tuple(round(p) for p in torch.linspace(0, size - side, positions).tolist())
    grey = _grey(classifier.preprocess)
    hidden = [_covered(view, grey, place, side) for place in product(starts, repeat=2)]
    rows = [
        classifier.probabilities(torch.stack(hidden[first : first + _BATCH]))
        for first in range(0, len(hidden), _BATCH)
    ]
    chances = torch.cat(rows)
    whole = classifier.probabilities(view[None])[0]
    shape = (positions, positions)
    return Occlusion(
        target,
        chances[:, target].reshape(shape),
        chances.argmax(1).reshape(shape),
        starts,
        side,
        float(whole[target]),
        int(whole.argmax()),
        grey,
    )


def _covered(view: Tensor, grey: Tensor, corner: tuple[int, int], side: int) -> Tensor:
    (top, left), found = corner, view.clone()
    found[:, top : top + side, left : left + side] = grey
    return found


def _grey(preprocess: Preprocess) -> Tensor:
    """(C, 1, 1) uint8: the colour that becomes zero, as nearly as a pixel can be."""
    return torch.tensor([round(255 * mean) for mean in preprocess.mean]).byte().view(-1, 1, 1)
