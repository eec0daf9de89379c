"""Regularisers: a function and its module each."""

from __future__ import annotations

from torch import Tensor, nn


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
