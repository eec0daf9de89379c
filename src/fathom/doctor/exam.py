"""Judging a model on some images of a loader, as they ought to be judged: in evaluation mode."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.doctor.line import logits_of, untouched
from fathom.doctor.observed import Exam

IMAGES = 512  # of an exam
MOST_CLASSES = 200  # of a matrix that is kept

Loader = Iterable[Any]  # of (images, targets), perhaps with more behind them


def examine(
    model: nn.Module, loader: Loader, *, split: str, step: int, weights: str = "result"
) -> Exam:
    """The first 512 images of a loader, in evaluation mode; the model stays as it is.

    Targets are (N,) classes. Random states are restored, but a loader that shuffles by its own
    generator draws once more from it.
    """
    device = next(model.parameters()).device
    sums = torch.zeros(2, dtype=torch.float64)
    matrix: Tensor | None = None
    count = 0
    with untouched(model), torch.no_grad():
        model.eval()
        for images, targets, *_ in loader:
            wanted = targets.to(device)
            logits = logits_of(model(images.to(device))).float()
            sums[0] += float(F.cross_entropy(logits, wanted, reduction="sum"))
            named = logits.argmax(1)
            sums[1] += int((named == wanted).sum())
            classes = logits.shape[1]
            if classes <= MOST_CLASSES:
                cells = torch.bincount(wanted * classes + named, minlength=classes**2)
                matrix = cells if matrix is None else matrix + cells
            count += len(targets)
            if count >= IMAGES:
                break
    rows = None if matrix is None else matrix.view(classes, classes).tolist()
    loss, right = (sums / max(1, count)).tolist()
    return Exam(step, split, weights, loss, right, count, rows)
