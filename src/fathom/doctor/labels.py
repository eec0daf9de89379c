"""Are the labels right? Three measures, each for what it can see.

Confident learning asks a classifier that never saw an image what its label ought to be. The area
under the margin asks the training itself, which learns wrong labels last. Nearest neighbours need
no network at all, and so tell labels that have nothing to do with the images from a network that
does not learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fathom.doctor.feed import Sample
from fathom.doctor.observed import Neighbours
from fathom.errors import require
from fathom.evaluate import wilson
from fathom.transfer.probe import fit_probe

_SIDE = 8  # pixels of a thumbnail
_SUREST = 500  # images
_FEW = 64  # images, below which neighbours tell little


@dataclass(frozen=True)
class Noise:
    """share: of the labels that are wrong, with its 95 % interval. order: (M,) places of the images
    whose label is not the likeliest class, the most suspicious first; likely: (N,) for each image
    the likeliest class but its label."""

    share: float
    low: float
    high: float
    order: Tensor
    likely: Tensor


def judge_labels(values: Tensor, targets: Tensor, *, num_classes: int, seed: int = 0) -> Noise:
    """(N, D) features and (N,) labels -> how many labels are wrong, and which.

    A probe is cross-validated on the features (`fit_probe`), so that no image is judged by what
    learnt its label. Raises UserError where some class has one image only.
    """
    probe = fit_probe(values, targets, num_classes=num_classes, seed=seed)
    require(
        len(probe.scored) == len(targets),
        "some class has one image only, which nothing else can judge; give every class two or more",
    )
    logits = torch.empty(len(targets), num_classes)
    logits[probe.scored] = probe.held_out * probe.factor
    return confident_learning(logits.softmax(1), targets)


def confident_learning(shares: Tensor, targets: Tensor) -> Noise:
    """(N, K) probabilities from a classifier that did not see the image, (N,) labels -> wrong ones.

    The most suspicious are those whose label is furthest below the likeliest other class. Their
    share is read where the classifier is surest: of the tenth of the images, and at least 500, with
    the highest probability for any class, those that bear another label. That takes wrong labels to
    be as frequent among easy images as among hard ones; where they are the hard ones it tells less.

    Source: Northcutt, Jiang and Chuang 2019, arXiv:1911.00068, for the idea and the order ("prune
    by noise rate"). Departure: they count every image that is sure by the mean of its class, which
    takes the classifier's own mistakes for wrong labels; where a linear classifier is right for
    three images of four, that is more than the noise.
    """
    count = len(targets)
    label = shares.gather(1, targets[:, None])[:, 0]
    others = shares.scatter(1, targets[:, None], -1.0).max(1)
    behind = others.values - label
    order = behind.argsort(descending=True, stable=True)
    surest = shares.amax(1).argsort(descending=True)[: max(_SUREST, count // 10)]
    wrong = int((behind[surest] > 0).sum())
    low, high = wilson(wrong, len(surest))
    suspects = order[: int((behind > 0).sum())]
    return Noise(wrong / len(surest), low, high, suspects, others.indices)


class Margins:
    """The area under the margin of every training image.

    The margin is the logit of the label less the largest other one, taken at every step in which
    the image is met, before that step; the area is its mean. Wrong labels are learnt against all
    images like them, late or never, and have the lowest areas.

    Source: Pleiss, Zhang, Elenberg and Weinberger 2020, arXiv:2001.10528.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        self.sums = torch.zeros(images, device=device)
        self.visits = torch.zeros(images, device=device)
        self.others = torch.zeros(images, dtype=torch.int32, device=device)

    def add(self, logits: Tensor, targets: Tensor, positions: Tensor) -> None:
        """(N, K) logits, (N,) classes and (N,) places among the training images."""
        places = positions.to(self.sums.device)
        label = logits.gather(1, targets[:, None])[:, 0]
        others = logits.scatter(1, targets[:, None], -torch.inf).max(1)
        self.sums.index_add_(0, places, (label - others.values).float())
        self.visits.index_add_(0, places, torch.ones_like(self.sums[places]))
        self.others[places] = others.indices.int()

    def tensors(self) -> dict[str, Tensor]:
        """What `take_up` goes on with: 12 bytes an image."""
        return {"sums": self.sums, "visits": self.visits, "others": self.others}

    def take_up(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from the `tensors` of former margins of the same images."""
        for name, mine in self.tensors().items():
            mine.copy_(tensors[name])

    def areas(self) -> Tensor:
        """(images,) mean margins; those never met have infinite ones."""
        return torch.where(self.visits > 0, self.sums / self.visits, torch.inf)

    def suspects(self, most: int) -> list[tuple[int, int]]:
        """(place, class that it was last taken for) of the lowest areas below 0, lowest first."""
        areas = self.areas()
        order = areas.argsort(stable=True)[:most]
        order = order[areas[order] < 0]
        return list(zip(order.tolist(), self.others[order].tolist(), strict=True))


def neighbours(train: Sample, val: Sample, shown: Sample | None = None) -> Neighbours | None:
    """Training and validation images, none augmented -> whether neighbours have the same label.

    shown: training images as training sees them, where that is something else. None for fewer than
    64 images. Nearest is by the correlation of 8 x 8 thumbnails; no image is its own neighbour.

    Wrong labels lower the share of pairs with equal labels by the same factor for each label of a
    pair that may be wrong. So that of training images among themselves, over that of validation
    images with sound labels among training images, is the share of right training labels, however
    alike neighbours are.
    Source: Zhu, Song and Liu 2021, arXiv:2102.05291, who tell noise by how neighbours agree.
    """
    if min(len(train.images), len(val.images)) < _FEW:
        return None
    frequency = train.targets.bincount().double() / len(train.targets)
    return Neighbours(
        images=len(train.images),
        val_images=len(val.images),
        train=_agree(train, train),
        val=_agree(val, val),
        across=_agree(val, train, apart=True),
        chance=float(frequency.square().sum()),
        shown=None if shown is None else _agree(shown, train),
    )


def _agree(these: Sample, base: Sample, *, apart: bool = False) -> float:
    """The share of images whose nearest image in base has their label; apart: of another set."""
    cosines = _thumbnails(these.images) @ _thumbnails(base.images).T
    if not apart:
        same = torch.tensor(_places(these))[:, None] == torch.tensor(_places(base))
        cosines.masked_fill_(same, -2.0)
    return float((these.targets == base.targets[cosines.argmax(1)]).float().mean())


def _places(sample: Sample) -> list[int]:
    return list(range(len(sample.images))) if sample.places is None else sample.places


def _thumbnails(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C * 64) of mean 0 and length 1."""
    small = F.adaptive_avg_pool2d(images.float(), _SIDE).flatten(1)
    return F.normalize(small - small.mean(1, keepdim=True), dim=1)
