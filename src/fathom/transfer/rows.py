"""Rows of features: which class each is of, and which image it is a view of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from fathom.errors import require


@dataclass(frozen=True)
class Rows:
    """Targets of rows; the images (groups) they belong to, each image's first row and class."""

    targets: Tensor
    groups: Tensor
    firsts: Tensor
    num_classes: int

    @classmethod
    def of(cls, values: Tensor, targets: Tensor, num_classes: int, groups: Tensor | None) -> Rows:
        """Check the rows, and number the images from 0 in the order of their first rows."""
        count = len(targets)
        require(
            values.ndim == 2 and len(values) == count,
            f"features of shape {tuple(values.shape)} for {count} targets; give one row for each",
        )
        require(
            bool(values.isfinite().all()),
            "some features are not finite; look for damaged weights or images",
        )
        require(
            num_classes >= 2,
            f"there are 2 classes or more to tell apart, not {num_classes}; add images of another",
        )
        present = torch.bincount(targets, minlength=num_classes)
        require(
            len(present) == num_classes,
            f"a target is class {len(present) - 1}, and there are only {num_classes} classes",
        )
        require(
            bool(present.all()),
            f"each of {num_classes} classes needs an image; those of class "
            f"{int(present.argmin())} are missing",
        )
        if groups is None:
            return cls(targets, torch.arange(count), torch.arange(count), num_classes)
        _, inverse = torch.unique(groups, return_inverse=True)
        firsts = torch.full((int(inverse.max()) + 1,), count).scatter_reduce(
            0, inverse, torch.arange(count), "amin"
        )
        require(
            bool((targets == targets[firsts[inverse]]).all()),
            "views of one image have different targets; give each image its own group",
        )
        order = firsts.argsort()
        return cls(targets, order.argsort()[inverse], firsts[order], num_classes)

    @property
    def classes(self) -> Tensor:
        """The class of each image."""
        return self.targets[self.firsts]

    def weights(self, balanced: bool) -> Tensor:
        """(N,) weights of the rows that sum to the number of images."""
        weights = 1 / torch.bincount(self.groups)[self.groups]
        if balanced:
            counts = torch.bincount(self.classes, minlength=self.num_classes)
            weights = weights * (len(self.firsts) / (self.num_classes * counts))[self.targets]
        return weights
