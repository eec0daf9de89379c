"""Regularisers: a function and its module each."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fathom.errors import require


def dropout(x: Tensor, drop: float, *, training: bool) -> Tensor:
    """(...) -> (...): each value is zero with probability drop, else / (1 - drop).

    In evaluation nothing changes. This is inverted dropout, the form of PyTorch and of every other
    library today. Source: Srivastava et al. 2014, JMLR 15, 1929-1958, Section 10.
    """
    if not training or drop == 0:
        return x
    return x * x.new_empty(x.shape).bernoulli_(1 - drop).div_(1 - drop)


class Dropout(nn.Module):
    """(...) -> (...): `dropout` while training."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        _require_rate(drop)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        return dropout(x, self.drop, training=self.training)

    def extra_repr(self) -> str:
        return f"drop={self.drop:g}"


def plain_dropout(x: Tensor, drop: float, *, training: bool) -> Tensor:
    """(...) -> (...): each value is zero with probability drop; in evaluation all * (1 - drop).

    Source: Hinton et al. 2012, arXiv:1207.0580, and Srivastava et al. 2014, Section 4, where the
    weights after it are scaled, which is the same.
    """
    if not training:
        return x * (1 - drop)
    return x * x.new_empty(x.shape).bernoulli_(1 - drop)


class PlainDropout(nn.Module):
    """(...) -> (...): `plain_dropout`, which changes its input in training and in evaluation."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        _require_rate(drop)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        return plain_dropout(x, self.drop, training=self.training)

    def extra_repr(self) -> str:
        return f"drop={self.drop:g}"


def _require_rate(drop: float) -> None:
    require(0 <= drop < 1, f"a dropout of {drop:g}; it must be at least 0 and below 1")


def smooth_labels(targets: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """(N,) class indices or (N, K) rows -> (N, K) rows: rows * (1 - smoothing) + smoothing / K.

    The true class gets its share of the smoothing as well, so that rows go on summing to one.
    Source: Szegedy et al. 2015, arXiv:1512.00567, Section 7.
    """
    require(0 <= smoothing <= 1, f"a label smoothing of {smoothing:g}; it must lie in [0, 1]")
    rows = F.one_hot(targets, num_classes).float() if targets.ndim == 1 else targets
    require(
        rows.shape[1] == num_classes and rows.is_floating_point(),
        f"targets of {tuple(targets.shape)} and {targets.dtype}; give (N,) class indices or "
        f"(N, {num_classes}) floating-point rows",
    )
    return rows * (1 - smoothing) + smoothing / num_classes


def stochastic_depth(branch: Tensor, drop: float, *, training: bool) -> Tensor:
    """(N, ...) -> (N, ...): each sample's branch is zero with probability drop, else / (1 - drop).

    In evaluation nothing changes. Source: Huang et al. 2016, arXiv:1603.09382, Section 3.
    Departures: every sample draws for itself, not the whole batch at once; surviving branches are
    scaled in training instead of all branches in evaluation, which has the same expectation.
    """
    if not training or drop == 0:
        return branch
    keep = branch.new_empty((branch.shape[0],) + (1,) * (branch.ndim - 1)).bernoulli_(1 - drop)
    return branch * keep.div_(1 - drop)


class StochasticDepth(nn.Module):
    """(N, ...) -> (N, ...): `stochastic_depth` while training."""

    def __init__(self, drop: float) -> None:
        super().__init__()
        self.drop = drop

    def forward(self, branch: Tensor) -> Tensor:
        return stochastic_depth(branch, self.drop, training=self.training)

    def extra_repr(self) -> str:
        return f"drop={self.drop:g}"


def linear_decay(drop: float, blocks: int) -> list[float]:
    """The drop probability of each block: drop * l / L for block l of L.

    Source: Huang et al. 2016, arXiv:1603.09382, Equation 4.
    """
    return [drop * (index + 1) / blocks for index in range(blocks)]
