"""Learning curves: accuracy against images a class, and what more images would bring.

Error falls as a power of the number of images, down to a floor:

    error(n) = floor + (error(m) - floor) (n / m)^-c

(Hestness et al. 2017, arXiv:1712.00409; Viering and Loog 2021, arXiv:2103.10948). A few noisy
points do not settle three unknowns, so no one curve is fitted: every floor and power on a grid
keeps the weight that the points give it, and what they leave open shows as width of the band. A
curve through one point is therefore all band, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fathom.errors import require
from fathom.runtime import derive_seed, generator
from fathom.transfer.probe import Probe, fit_probe
from fathom.transfer.rows import Rows

LEVEL = 0.9  # of the bands
REACH = 100  # times as many images is as far as a curve says anything about labels
SEED_NOISE = 0.005  # of an accuracy, beside that of the images it was measured on
# What is thought possible before any point: any floor up to 95 % of the error, and powers from 0.1
# to 1.5, evenly in their logarithm. Those of networks usually lie from 0.07 to 0.35
# (arXiv:1712.00409); a probe's on few images can be steeper.
_FLOORS = np.linspace(0, 0.95, 24)
_POWERS = np.geomspace(0.1, 1.5, 24)
_FREEDOM = 4  # of Student's t: a point three deviations off pulls no harder than one of two
_ROUNDS = 30
_SAMPLES = 4000
_FRACTIONS = ((1 / 8, 4), (1 / 4, 2), (1 / 2, 1))  # of the images, and draws
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """An accuracy (fraction) after training on so many images a class, measured on `tested`."""

    images: float
    accuracy: float
    tested: int


@dataclass(frozen=True)
class Labels:
    """Further images a class that would raise accuracy by a gain: more, and its 90 % range.

    A number is None where it is out of reach; why says so in words, and is empty where more is not.
    """

    more: int | None
    low: int | None
    high: int | None
    why: str


@dataclass(frozen=True)
class LearningCurve:
    """Points, and the curves that go with them: rows of (error at `images`, floor, power).

    images is the largest number a class among the points, where the curve stands now.
    extrapolates: whether the points are of three sizes or more, the largest at least four times the
    smallest. Where they are not, bands show what was thought possible before any measurement.
    """

    points: tuple[Point, ...]
    images: float
    curves: Array
    extrapolates: bool

    def at(self, images: float) -> tuple[float, float, float]:
        """Accuracy at so many images a class: the band's low end, the median, the high end.

        All three rise with the number of images.
        """
        require(images > 0, f"a learning curve starts above 0 images a class, not at {images:g}")
        level, floor, power = self.curves.T
        error = np.clip(floor + (level - floor) * (images / self.images) ** -power, 0, 1)
        low, middle, high = np.quantile(1 - error, _QUANTILES)
        return float(low), float(middle), float(high)

    def labels_for(self, gain: float = 0.01) -> Labels:
        """How many further images a class buy `gain` (a fraction) more accuracy than now."""
        require(0 < gain < 1, f"a gain of {gain:g} is none; give a fraction as 0.01 for one point")
        if not self.extrapolates:
            return Labels(None, None, None, "too few sizes were measured to look ahead")
        level, floor, power = self.curves.T
        share = np.clip((level - gain - floor) / np.maximum(level - floor, 1e-12), 0, None)
        with np.errstate(divide="ignore", over="ignore"):
            needed = self.images * (share ** (-1 / power) - 1)
        low, middle, high = (
            math.ceil(more) if more <= self.images * REACH else None
            for more in np.quantile(needed, _QUANTILES, method="inverted_cdf")
        )
        return Labels(middle, low, high, "" if middle is not None else self._why(gain))

    def _why(self, gain: float) -> str:
        ceiling = 1 - float(np.median(self.curves[:, 1]))
        if 1 - float(np.median(self.curves[:, 0])) + gain > ceiling:
            return f"more images alone are expected to end at {ceiling:.1%}"
        return f"it would take more than {REACH} times as many images"

    def to_dict(self, sizes: Sequence[float] = ()) -> dict[str, Any]:
        """Plain JSON values: the points, and the bands at so many images a class."""
        return {
            "points": [vars(point) for point in self.points],
            "images": self.images,
            "extrapolates": self.extrapolates,
            "bands": [dict(zip(_BAND, (n, *self.at(n)), strict=True)) for n in sizes],
            "labels": vars(self.labels_for()),
        }


_QUANTILES = ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2)
_BAND = ("images", "low", "mid", "high")


def fit_curve(points: Sequence[Point]) -> LearningCurve:
    """Points of one strategy -> the curves that may be behind them.

    A point's variance is that of its images (binomial), of seeds (half a percentage point squared)
    and of the images drawn: where a size was drawn repeatedly, the scatter beyond the first two, as
    it falls with the number of images. Errors of points follow Student's t, so that one failed run
    does not bend the curve; the error level of each floor and power is normal around its best.

    Raises UserError without points, and for values out of range.
    """
    require(len(points) > 0, "a learning curve needs a point; measure an accuracy first")
    for point in points:
        require(
            point.images > 0 and 0 <= point.accuracy <= 1 and point.tested > 0,
            f"{point} is none of a learning curve: images and tested are above 0, and accuracy is "
            "a fraction",
        )
    images = np.array([point.images for point in points])
    errors = np.array([1 - point.accuracy for point in points])
    variance = _variance(points, images, errors)
    largest = float(images.max())
    floors, powers = (grid.ravel() for grid in np.meshgrid(_FLOORS, _POWERS))
    shapes = floors + (1 - floors) * (images[:, None] / largest) ** -powers  # (P, shapes)
    levels, spreads, weights = _levels(shapes, errors[:, None], variance[:, None])
    rng = np.random.default_rng(derive_seed("learning curve"))
    drawn = rng.choice(len(weights), _SAMPLES, p=weights)
    level = np.clip(rng.normal(levels[drawn], spreads[drawn]), 0, 1)
    curves = np.stack([level, floors[drawn] * level, powers[drawn]], 1)
    sizes = np.unique(images)
    trusted = len(sizes) >= 3 and bool(sizes[-1] >= 4 * sizes[0])
    return LearningCurve(tuple(points), largest, curves, trusted)


def _variance(points: Sequence[Point], images: Array, errors: Array) -> Array:
    """(P,) variances of the errors."""
    tested = np.array([point.tested for point in points])
    share = (errors * tested + 1) / (tested + 2)  # not 0 where no image was wrong
    known = share * (1 - share) / tested + SEED_NOISE**2
    excess: list[float] = []
    for size in np.unique(images):
        same = images == size
        if same.sum() > 1:
            excess.append(float(size * (errors[same].var(ddof=1) - known[same].mean())))
    scatter = np.quantile(excess or [0.0], 0.5, method="lower")  # one failed run is no scatter
    return np.asarray(known + max(0.0, float(scatter)) / images)


def _levels(shapes: Array, errors: Array, variance: Array) -> tuple[Array, Array, Array]:
    """For each shape (P, S): the best level, its deviation, and the weight of the shape.

    The best level is found by reweighted least squares, and the weight is the likelihood over all
    levels in Laplace's approximation.
    """
    level = np.median(errors / shapes, axis=0)
    for _ in range(_ROUNDS):
        pull = (_FREEDOM + 1) / (_FREEDOM * variance + (errors - level * shapes) ** 2)
        level = (pull * shapes * errors).sum(0) / (pull * shapes**2).sum(0)
    spread = (pull * shapes**2).sum(0) ** -0.5
    off = (errors - level * shapes) ** 2 / (_FREEDOM * variance)
    log = np.log(spread) - (_FREEDOM + 1) / 2 * np.log1p(off).sum(0)
    weights = np.exp(log - log.max())
    return level, spread, weights / weights.sum()


def probe_curve(
    values: Tensor,
    targets: Tensor,
    *,
    num_classes: int,
    seed: int,
    probe: Probe,
    groups: Tensor | None = None,
) -> tuple[Point, ...]:
    """Accuracy of probes on an eighth, a quarter and a half of the images, and on all of them.

    Features (N, D) and targets (N,) as for `fit_probe`, and the probe that it fitted to them. An
    eighth of each class is drawn four times, a quarter twice, a half once; the images not drawn
    judge. The last point is the probe's own cross-validation, which trains on a fold less than all.
    At least one image of each class is drawn, and a size that is the same as the last, or all of
    the images, is left out. Smaller probes choose among the strength of the given one, 3.2 and 10
    times it.
    """
    rows = Rows.of(values, targets, num_classes, groups)
    found: list[Point] = []
    drawn = 0
    for fraction, draws in _FRACTIONS:
        share = _share(rows, fraction)
        if int(share.sum()) in (drawn, len(rows.firsts)):
            continue
        drawn = int(share.sum())
        for draw in range(draws):
            taken = _draw(rows, share, generator(seed, "learning curve", str(fraction), draw))
            inside = taken[rows.groups]
            small = fit_probe(
                values[inside],
                targets[inside],
                num_classes=num_classes,
                seed=seed,
                groups=rows.groups[inside],
                strengths=[probe.strength * 10 ** (half / 2) for half in range(3)],
            )
            judges = rows.firsts[~taken]
            right = small.logits(values[judges]).argmax(1) == targets[judges]
            found.append(Point(drawn / num_classes, right.double().mean().item(), len(judges)))
    if probe.cv_top1 is not None:
        images = len(rows.firsts) / num_classes * (probe.folds - 1) / probe.folds
        found.append(Point(images, probe.cv_top1, len(probe.scored)))
    return tuple(found)


def _share(rows: Rows, fraction: float) -> Tensor:
    """(K,) images of each class: the fraction of it, rounded, and at least one."""
    counts = torch.bincount(rows.classes, minlength=rows.num_classes)
    return (counts * fraction).round().clamp_min(1).long()


def _draw(rows: Rows, share: Tensor, rng: torch.Generator) -> Tensor:
    """(G,) whether an image is one of the share (K,) drawn from its class."""
    classes = rows.classes
    counts = torch.bincount(classes, minlength=rows.num_classes)
    order = torch.randperm(len(classes), generator=rng)
    order = order[classes[order].argsort(stable=True)]
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order)) - (counts.cumsum(0) - counts)[classes[order]]
    return place < share[classes]
