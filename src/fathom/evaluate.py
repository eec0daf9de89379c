"""Measure a classifier on images: accuracy, loss, calibration, per class, and what it confuses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fathom.data.batches import Batch
from fathom.runtime import Runtime

CALIBRATION_BINS = 15
MOST_CONFUSED = 8
EXAMPLES = 6


@dataclass(frozen=True)
class ClassScore:
    """One class: fractions precision, recall and f1, and the number of its images (support).

    precision is None where the class was never predicted.
    """

    name: str
    precision: float | None
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Bin:
    """Predictions whose confidence falls into (low, high]: how many, how sure, how often right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Confusion:
    """Images of one class taken for another, the surest first: (position, confidence)."""

    true: str
    predicted: str
    count: int
    examples: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Evaluation:
    """All that is measured on one split.

    top1, top5: fractions (top5 None for five classes or fewer); top1_low, top1_high: the 95 %
    Wilson interval of top1 for images drawn at random; loss: mean cross entropy in nats; ece: the
    expected calibration error; matrix[i][j]: images of class i predicted as j.
    """

    split: str
    num_images: int
    top1: float
    top1_low: float
    top1_high: float
    top5: float | None
    loss: float
    ece: float
    per_class: tuple[ClassScore, ...]
    matrix: tuple[tuple[int, ...], ...]
    bins: tuple[Bin, ...]
    confusions: tuple[Confusion, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        """The inverse of `to_dict`."""
        return cls(
            **{
                **values,
                "per_class": tuple(ClassScore(**c) for c in values["per_class"]),
                "matrix": tuple(tuple(row) for row in values["matrix"]),
                "bins": tuple(Bin(**b) for b in values["bins"]),
                "confusions": tuple(
                    Confusion(**{**c, "examples": tuple((p, q) for p, q in c["examples"])})
                    for c in values["confusions"]
                ),
            }
        )


def run_model(
    model: nn.Module, batches: Iterable[Batch], runtime: Runtime
) -> tuple[Tensor, Tensor, Tensor]:
    """(N, K) float32 logits, (N,) targets and (N,) positions, on the CPU.

    The model runs in evaluation mode, without gradients, and is left in the mode it came in.
    """
    logits, targets, positions = [], [], []
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), autocast(runtime):
            for batch in batches:
                logits.append(model(batch.images).float())
                targets.append(batch.targets)
                positions.append(batch.positions)
    finally:
        model.train(training)
    return torch.cat(logits).cpu(), torch.cat(targets).cpu(), torch.cat(positions)


def autocast(runtime: Runtime) -> torch.autocast:
    """Matrix work in the precision of the runtime; nothing at all in float32."""
    dtype = runtime.autocast_dtype
    return torch.autocast(runtime.device.type, dtype=dtype, enabled=dtype is not None)


def evaluate(
    model: nn.Module,
    batches: Iterable[Batch],
    runtime: Runtime,
    *,
    split: str,
    class_names: Sequence[str],
) -> Evaluation:
    """Run the model over batches and measure it."""
    logits, targets, positions = run_model(model, batches, runtime)
    return measure(logits, targets, positions, split=split, class_names=class_names)


def measure(
    logits: Tensor, targets: Tensor, positions: Tensor, *, split: str, class_names: Sequence[str]
) -> Evaluation:
    """(N, K) logits against (N,) targets; positions name the images in the confusions."""
    count, num_classes = logits.shape
    probabilities = logits.softmax(1)
    confidence, predicted = probabilities.max(1)
    right = predicted == targets
    matrix = torch.bincount(targets * num_classes + predicted, minlength=num_classes**2).view(
        num_classes, num_classes
    )
    bins = calibration(confidence, right)
    hits = int(right.sum())
    low, high = wilson(hits, count)
    top5 = None
    if num_classes > 5:
        top5 = (logits.topk(5, 1).indices == targets[:, None]).any(1).double().mean().item()
    return Evaluation(
        split=split,
        num_images=count,
        top1=hits / count,
        top1_low=low,
        top1_high=high,
        top5=top5,
        loss=F.cross_entropy(logits.double(), targets).item(),
        ece=sum(b.count * abs(b.accuracy - b.confidence) for b in bins) / count,
        per_class=_per_class(matrix, class_names),
        matrix=tuple(tuple(row) for row in matrix.tolist()),
        bins=bins,
        confusions=_confusions(matrix, predicted, targets, positions, confidence, class_names),
    )


def wilson(hits: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """The 95 % score interval of a proportion. Source: Wilson 1927, JASA 22, 209-212."""
    share = hits / count
    scale = 1 + z**2 / count
    middle = (share + z**2 / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2)) / scale
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration(confidence: Tensor, right: Tensor) -> tuple[Bin, ...]:
    """Fifteen equal bins of confidence; empty ones are kept, with zeros.

    Their weighted |accuracy - confidence| is the expected calibration error.
    Source: Guo et al. 2017, arXiv:1706.04599, Section 2, Equation 3.
    """
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1)
    place = torch.bucketize(confidence.float(), edges[1:-1])
    bins = []
    for index in range(CALIBRATION_BINS):
        inside = place == index
        count = int(inside.sum())
        bins.append(
            Bin(
                low=round(edges[index].item(), 6),
                high=round(edges[index + 1].item(), 6),
                count=count,
                confidence=confidence[inside].double().mean().item() if count else 0.0,
                accuracy=right[inside].double().mean().item() if count else 0.0,
            )
        )
    return tuple(bins)


def _per_class(matrix: Tensor, class_names: Sequence[str]) -> tuple[ClassScore, ...]:
    scores = []
    support, chosen, hits = matrix.sum(1).tolist(), matrix.sum(0).tolist(), matrix.diag().tolist()
    for name, total, predicted, hit in zip(class_names, support, chosen, hits, strict=True):
        precision = hit / predicted if predicted else None
        recall = hit / total if total else 0.0
        both = total + predicted
        f1 = 2 * hit / both if both else 0.0
        scores.append(ClassScore(name, precision, recall, f1, total))
    return tuple(scores)


def _confusions(
    matrix: Tensor,
    predicted: Tensor,
    targets: Tensor,
    positions: Tensor,
    confidence: Tensor,
    class_names: Sequence[str],
) -> tuple[Confusion, ...]:
    """The most frequent mistakes, ordered pairs of classes, each with its surest images."""
    wrong = matrix.clone()
    wrong.fill_diagonal_(0)
    num_classes = len(class_names)
    order = wrong.flatten().argsort(descending=True, stable=True)[:MOST_CONFUSED].tolist()
    found = []
    for cell in order:
        true, taken = divmod(cell, num_classes)
        count = int(wrong[true, taken])
        if not count:
            break
        where = ((targets == true) & (predicted == taken)).nonzero().flatten()
        sure = where[confidence[where].argsort(descending=True, stable=True)][:EXAMPLES]
        examples = tuple((int(positions[i]), float(confidence[i])) for i in sure)
        found.append(Confusion(class_names[true], class_names[taken], count, examples))
    return tuple(found)
