"""Features that look like a network's: classes apart along a few of many uneven directions."""

import torch
from torch import Tensor


def some_features(
    counts: tuple[int, ...], *, width: int = 24, apart: float = 1.5, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """(N, width) float32 and (N,) int64, counts[i] rows of class i, shuffled."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.cat([torch.full((count,), i) for i, count in enumerate(counts)])
    targets = targets[torch.randperm(len(targets), generator=rng)]
    scales = torch.logspace(0, -2, width)
    centres = apart * torch.randn(len(counts), width, generator=torch.Generator().manual_seed(99))
    values = torch.randn(len(targets), width, generator=rng) + centres[targets]
    return 3 + 5 * values * scales, targets
