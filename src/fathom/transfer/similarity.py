"""How near images are to those that a pretrained network was trained on.

Four signs, each of which can mislead alone:

- where in the network a probe is most accurate: features of another domain are best before the end
  (Yosinski, Clune, Bengio and Lipson 2014, arXiv:1411.1792, on why: late layers are specific);
- how accurate the nearest neighbours are in the network's features;
- what its own classifier says: how sure it is, how many of its classes it uses, and how well they
  go together with the user's;
- how far the statistics inside the network are from those of its training, which every batch norm
  has stored: a mean and a variance for each channel.

Only the last does not depend on the user's classes, nor much on how many images there are or of
what size, so that the one word is taken from it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from fathom.runtime import generator
from fathom.transfer.nearest import fit_neighbours
from fathom.transfer.probe import fit_probe

Reading = Literal["near", "somewhat different", "far", "unknown"]

# Below the first: near; below the second: somewhat different. Measured (docs/results/transfer.md)
# with EfficientNet-Lite0 and Lite1, 300 images at 128 pixels and at their own size: photographs of
# ImageNet up to 0.012, without colour up to 0.031; CIFAR-10 and Fashion-MNIST from 0.046 to 0.092;
# digits from 0.118, noise from 0.211.
NEAR, FAR = 0.038, 0.105
_MOST_IMAGES = 1000
_SAID = ("confidence", "entropy", "used_classes", "agreement")
_STRENGTHS = (1.0, 0.1, 0.01)
_FLOOR = 1e-3  # added to each variance, times the norm's mean one: dead channels have none


class NormStatistics(NamedTuple):
    """A batch norm's channels: (C,) mean and var of pretraining, and of the inputs seen here."""

    mean: Tensor
    var: Tensor
    seen_mean: Tensor
    seen_var: Tensor


@dataclass(frozen=True)
class Domain:
    """What was measured of images (fractions, unless said otherwise); None for what could not be.

    images: how many. stages: cross-validated accuracy of a probe on the pooled map of each stage,
    and last on the input of the classifier; empty without two images of two classes. neighbours:
    accuracy of the nearest neighbours there. confidence, entropy (nats): of the pretrained
    classifier, on average over images. used_classes: exp of the entropy of its top classes.
    agreement: mutual information of its top class and the user's classes over their mean entropy,
    corrected for chance; it needs several images for each top class. norm_distance: see there.
    """

    images: int
    stages: tuple[float, ...]
    neighbours: float | None
    confidence: float | None
    entropy: float | None
    used_classes: float | None
    agreement: float | None
    norm_distance: float | None

    @property
    def peak(self) -> int | None:
        """The place in `stages` of the highest accuracy, the last of equals."""
        best = range(len(self.stages))
        return max(best, key=lambda place: (self.stages[place], place), default=None)

    @property
    def reading(self) -> Reading:
        """By norm_distance: near below 0.038, far from 0.105 on; unknown without batch norms."""
        if self.norm_distance is None:
            return "unknown"
        if self.norm_distance < NEAR:
            return "near"
        return "somewhat different" if self.norm_distance < FAR else "far"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with what is derived."""
        return {**asdict(self), "peak": self.peak, "reading": self.reading}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Domain:
        """The inverse of `to_dict`."""
        own = {name: value for name, value in values.items() if name not in ("peak", "reading")}
        return cls(**{**own, "stages": tuple(values["stages"])})


def measure_domain(
    values: Tensor,
    targets: Tensor,
    *,
    stages: tuple[Tensor, ...],
    logits: Tensor | None,
    norms: Iterable[NormStatistics],
    seed: int,
) -> Domain:
    """One row an image -> how near the images are to the pretraining.

    Args:
        values: (N, D) input of the classifier.
        targets: (N,) the user's classes.
        stages: (N, C_i) pooled map of each stage.
        logits: (N, K0) of the pretrained classifier, where there is one.
        norms: what `norm_statistics` found.
        seed: of the images that are probed, at most 1,000, and of their folds.
    """
    chosen, classes = _sample(targets, seed)
    accuracies: tuple[float, ...] = ()
    neighbours = None
    if len(chosen):
        count = int(classes.max()) + 1
        accuracies = tuple(
            _accuracy(part[chosen], classes, count, seed) for part in (*stages, values)
        )
        near = fit_neighbours(values[chosen], classes, num_classes=count, seed=seed)
        neighbours = near.top1[near.k]
    said: dict[str, float | None] = dict.fromkeys(_SAID)
    if logits is not None:
        said.update(_said(logits, targets))
    return Domain(
        images=len(values),
        stages=accuracies,
        neighbours=neighbours,
        norm_distance=norm_distance(norms),
        **said,
    )


def _sample(targets: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Images to probe and their classes, numbered anew: classes of two images or more, if two."""
    chosen = torch.randperm(len(targets), generator=generator(seed, "domain"))[:_MOST_IMAGES]
    counts = torch.bincount(targets[chosen])
    chosen = chosen[counts[targets[chosen]] > 1].sort().values
    known, classes = torch.unique(targets[chosen], return_inverse=True)
    return (chosen, classes) if len(known) > 1 else (chosen[:0], classes[:0])


def _accuracy(values: Tensor, classes: Tensor, count: int, seed: int) -> float:
    probe = fit_probe(values, classes, num_classes=count, seed=seed, strengths=_STRENGTHS)
    assert probe.cv_top1 is not None  # each class has two images
    return probe.cv_top1


def _said(logits: Tensor, targets: Tensor) -> dict[str, float]:
    """What the pretrained classifier says of the images."""
    from sklearn.metrics import adjusted_mutual_info_score  # half a second

    shares = logits.double().softmax(1)
    confidence, top = shares.max(1)
    used = torch.bincount(top).double() / len(top)
    agreement = adjusted_mutual_info_score(targets.numpy(), top.numpy())
    measured = (
        confidence.mean().item(),
        torch.special.entr(shares).sum(1).mean().item(),
        math.exp(torch.special.entr(used).sum().item()),
        float(agreement),
    )
    return dict(zip(_SAID, measured, strict=True))


def norm_statistics(model: nn.Module, batches: Iterable[Tensor]) -> tuple[NormStatistics, ...]:
    """Prepared images (N, C, H, W), in batches -> the statistics of each batch norm's input.

    In the order of the modules; norms that keep no statistics, or saw nothing, are left out. The
    norms must not be folded into convolutions. The model runs in evaluation mode, without
    gradients, and is left in the mode it came in.
    """
    seen: dict[nn.Module, list[Tensor]] = {}
    handles: list[RemovableHandle] = []
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            seen[module] = []
            handles.append(module.register_forward_pre_hook(partial(_note, seen[module])))
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            for images in batches:
                model(images)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return tuple(_statistics(norm, notes) for norm, notes in seen.items() if notes)


def _note(notes: list[Tensor], norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Add (3, C) float64 of one batch: the number of pixels, their mean, their mean square.

    They are on the CPU, as Apple's GPUs have no float64.
    """
    (maps,) = inputs
    var, mean = torch.stack(channel_moments(maps)).cpu().double()
    pixels = torch.full_like(mean, maps.numel() / maps.shape[1])
    notes.append(torch.stack([pixels, mean, var + mean.square()]))


def channel_moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """(N, C, ...) -> (C,) variance and (C,) mean of each channel, float32.

    As `torch.var_mean`, which takes several times as long over several dimensions on a CPU.
    """
    planes = maps.float().reshape(*maps.shape[:2], -1)
    mean = planes.mean(2).mean(0)
    spread = torch.linalg.vector_norm(planes - mean[:, None], dim=2).square().mean(0)
    return spread / planes.shape[2], mean


def _statistics(norm: nn.Module, notes: list[Tensor]) -> NormStatistics:
    found = torch.stack(notes)
    share = found[:, 0] / found[:, 0].sum(0)
    mean, square = (share * found[:, 1]).sum(0), (share * found[:, 2]).sum(0)
    var = (square - mean.square()).clamp_min(0)
    before = {name: buffer.cpu().double() for name, buffer in norm.named_buffers()}
    return NormStatistics(before["running_mean"], before["running_var"], mean, var)


def norm_distance(norms: Iterable[NormStatistics]) -> float | None:
    """Mean squared Hellinger distance, from 0 to 1, of pretraining and images; None for no norms.

    Of the two normal distributions of a channel, averaged over the channels of a norm, then over
    norms:

        1 - sqrt(2 s t / (s^2 + t^2)) exp(-(m - n)^2 / (4 (s^2 + t^2)))

    Symmetric, and bounded where a channel is constant, which the divergence of Kullback and Leibler
    is not. To each variance 0.001 times the mean variance of pretraining is added.
    """
    found = []
    for mean, var, seen_mean, seen_var in norms:
        floor = _FLOOR * var.mean()
        one, other = var + floor, seen_var + floor
        overlap = (2 * (one * other).sqrt() / (one + other)).sqrt()
        apart = (mean - seen_mean).square() / (4 * (one + other))
        found.append((1 - overlap * torch.exp(-apart)).mean())
    return torch.stack(found).mean().item() if found else None
