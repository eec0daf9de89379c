"""What a transfer found out, what it chose, and why."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from fathom.evaluate import wilson
from fathom.transfer.curves import LearningCurve
from fathom.transfer.similarity import Domain
from fathom.transfer.strategies import TOO_SHORT, Strategy

# How the error of a strategy falls with the images it trains on, measured on the targets of
# docs/results/transfer.md ("What is expected of a strategy"): that of a probe, tuned on V images,
# becomes (1 + V / 1000) ** -rate of it, faster where the domain is far, and by how many different
# images there are: (images, rate), in between by their logarithm. That of fresh weights falls as
# V ** -rate.
TUNED: Mapping[Strategy, Mapping[str, Sequence[tuple[int, float]]]] = {
    "partial": {"near": ((100, 0.06), (1000, 0.125), (10_000, 0.155)), "far": ((1000, 0.63),)},
    "finetune": {"near": ((100, 0.145), (1000, 0.2), (10_000, 0.235)), "far": ((1000, 0.63),)},
}
FRESH = 0.18
_UNIT = 1000.0
# From one data set to another a rate differs by about this share of it (standard deviation).
_SPREAD = 0.3
# Of so many images as the probe names wrong, this share is named right by one of probe and tuned
# network only: judgement, not measurement.
_DISAGREE = 0.5
# Of fresh weights so many judged images weigh as much as what is known before: that they end with
# so many times the mistakes of a probe.
_IMAGES = 50.0
_FRESH_TO_PROBE = {"near": 1.5, "far": 1.0}
_NEAR: Mapping[str, str] = {
    "near": "near",
    "somewhat different": "somewhat different from",
    "far": "far from",
}
_NAMES: Mapping[Strategy, str] = {
    "probe": "a probe (a new head on frozen features)",
    "partial": "training the last stages",
    "finetune": "fine-tuning the whole network",
    "scratch": "training from scratch",
}


@dataclass(frozen=True)
class Outcome:
    """How a strategy did in the race: right of num_images, most of which are of one class, after
    `visits` training images in `seconds`, which hold loading and judging. images_per_second is the
    pace of its training steps alone; 0 of a probe, which takes none."""

    strategy: Strategy
    right: int
    num_images: int
    most: int
    seconds: float
    visits: int
    images_per_second: float

    @property
    def wrong(self) -> int:
        """Images named wrong."""
        return self.num_images - self.right

    @property
    def learns(self) -> bool:
        """Whether it does better than one that always names the most frequent class."""
        return self.right > self.most

    def visits_after(self, seconds: float) -> float:
        """Training images after so many more seconds of steps at the same pace."""
        return self.visits + seconds * self.images_per_second


@dataclass(frozen=True)
class Candidate:
    """A strategy after its share of the race, with the weights that it starts from, if any.

    expected is its accuracy at the end of the whole time, by `expected_top1`.
    """

    raced: Outcome
    weights: str | None
    expected: float

    @property
    def strategy(self) -> Strategy:
        """Which one."""
        return self.raced.strategy

    @property
    def top1(self) -> float:
        """The share of validation images named right."""
        return self.raced.right / self.raced.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of top1."""
        return wilson(self.raced.right, self.raced.num_images)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with what is derived."""
        low, high = self.interval
        more = {"weights": self.weights, "expected": self.expected}
        return {**asdict(self.raced), **more, "top1": self.top1, "low": low, "high": high}


def tuned_rate(strategy: Strategy, domain: str, images: int) -> float:
    """How fast the error of a tuned strategy falls, with so many training images."""
    sizes, rates = zip(*TUNED[strategy][domain], strict=True)
    return float(np.interp(math.log(images), np.log(sizes), rates))


def expected_top1(
    raced: Outcome, *, probe: Outcome, probe_top1: float, far: bool, left: float, images: int
) -> float:
    """The accuracy that a strategy is expected to have after `left` more seconds of training.

    Args:
        raced: how it did.
        probe: how the probe did on the same images.
        probe_top1: the probe's accuracy on all images that it had not seen, which are many more
            than judge a race.
        far: whether the images are far from those that the weights were trained on.
        images: how many different ones there are to train on.

    A race of a few steps, judged by a few images, says next to nothing of a tuned strategy but how
    fast it is; a longer one says more, by `_raced_rate`. One that is below the probe that it
    started from counts as equal to it: it goes on from the probe. One that does no better than to
    name the most frequent class is expected to stay there, unless it was trained too shortly.
    """
    error = 1 - probe_top1
    if raced.strategy == "probe":
        return probe_top1
    domain = "far" if far else "near"
    if raced.strategy == "scratch":
        return 1 - _fresh_error(raced, before=error * _FRESH_TO_PROBE[domain], left=left)
    counted = replace(raced, right=max(raced.right, probe.right))
    if not (counted if raced.visits < TOO_SHORT else raced).learns:
        return min(probe_top1, raced.right / raced.num_images)
    rate = _raced_rate(counted, probe, before=tuned_rate(raced.strategy, domain, images))
    return 1 - error * math.exp(-rate * math.log1p(raced.visits_after(left) / _UNIT))


def _raced_rate(raced: Outcome, probe: Outcome, *, before: float) -> float:
    """The rate of a tuned strategy after the race: that before it and that seen in it, each
    weighted by how exactly it is known (the mean of a normal posterior), and 0 at least."""
    length = math.log1p(raced.visits / _UNIT)
    seen = -math.log((raced.wrong + 1) / (probe.wrong + 1))  # rate times length, but for chance
    known, learnt = 1 / (_SPREAD * before) ** 2, (probe.wrong + 1) / _DISAGREE
    return max(0.0, (known * before + learnt * length * seen) / (known + learnt * length**2))


def _fresh_error(raced: Outcome, *, before: float, left: float) -> float:
    """The error that fresh weights are expected to end with, the more as `before` says the fewer
    images judged: the best epoch of many on a few images flatters."""
    error = (raced.wrong + 1) / (raced.num_images + 2)
    if raced.learns and raced.visits:
        error *= (raced.visits / raced.visits_after(left)) ** FRESH
    weight = raced.num_images / (raced.num_images + _IMAGES)
    return math.exp(weight * math.log(error) + (1 - weight) * math.log(min(before, 1.0) or 1e-9))


def choose(candidates: Sequence[Candidate]) -> Candidate:
    """The candidate of the highest expected accuracy; of equals the one that takes less."""
    return max(candidates, key=lambda c: c.expected)


@dataclass(frozen=True)
class Decision:
    """Everything that led to a choice: candidates, measurements of the data, time spent."""

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    num_train: int
    num_classes: int
    image_size: int
    domain: Domain | None
    learning: LearningCurve | None
    seconds: Mapping[str, float]
    minutes: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        curve, now = self.learning, 0.0 if self.learning is None else self.learning.images
        return {
            "chosen": self.chosen.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "num_train": self.num_train,
            "num_classes": self.num_classes,
            "image_size": self.image_size,
            "domain": None if self.domain is None else self.domain.to_dict(),
            "probe_curve": curve and curve.to_dict([n * now for n in (0.25, 0.5, 1, 2, 10)]),
            "seconds": dict(self.seconds),
            "minutes": self.minutes,
            "sentences": list(self.sentences()),
        }

    def sentences(self) -> tuple[str, ...]:
        """Why it was chosen, in a paragraph that a person understands."""
        best = self.chosen
        told = [f"Chosen: {_NAMES[best.strategy]}{_of(best)}."]
        for other in self.candidates:
            low, high = other.interval
            raced = other.raced
            told.append(
                f"{_start(_NAMES[other.strategy])}{_of(other)} named {other.top1:.1%} of "
                f"{raced.num_images:,} validation images right ({low:.1%} to {high:.1%}) after "
                f"{raced.seconds:.0f} s, and is expected at {other.expected:.1%} at the end."
            )
            if self._below_start(raced):
                told.append(
                    "That is below the probe that it started from, as a few steps may bring, so it "
                    "would go on from there."
                )
        told.append(
            "What is expected rests also on how the strategies did on other data: a race of so few "
            "images and seconds cannot tell them apart alone."
        )
        if self.domain is not None and self.domain.norm_distance is not None:
            told.append(
                f"The images are {_NEAR[self.domain.reading]} those that the weights were trained "
                f"on (distance {self.domain.norm_distance:.3f} inside the network)."
            )
        told.append(self._with_more())
        told.extend(self._elsewhere())
        spent = sum(self.seconds.values())
        told.append(
            f"To find that out took {spent:.0f} s of {self.minutes * 60:.0f} s; the rest is for "
            "the one that was chosen."
        )
        return tuple(told)

    def _below_start(self, raced: Outcome) -> bool:
        """Whether the race left it worse than the probe that it started from."""
        probes = [c.raced for c in self.candidates if c.strategy == "probe"]
        return raced.strategy in TUNED and any(raced.right < probe.right for probe in probes)

    def _with_more(self) -> str:
        """What ten times the images would change."""
        if self.learning is None or not self.learning.extrapolates:
            return "There are too few images to tell what ten times as many would bring."
        images = self.learning.images
        low, middle, high = self.learning.at(10 * images)
        now = self.learning.at(images)[1]
        return (
            f"With ten times the {images:,.0f} images a class that it saw, the probe alone is "
            f"expected at {middle:.1%} ({low:.1%} to {high:.1%}), {100 * (middle - now):.1f} "
            "points more than now; what the others would make of them `fathom transfer --curve` "
            "measures."
        )

    def _elsewhere(self) -> Iterator[str]:
        """When to look for other pretrained weights."""
        best = max(self.candidates, key=lambda c: c.expected)
        far = self.domain is not None and self.domain.reading == "far"
        if best.strategy == "scratch":
            yield (
                "Fresh weights do best, so these pretrained ones bring little here: look for some "
                "that were trained on images like yours."
            )
        elif far:
            yield (
                "That far from what the weights were trained on, it is worth looking for weights "
                "that were trained on images like yours."
            )


def _start(text: str) -> str:
    return text[0].upper() + text[1:]


def _of(candidate: Candidate) -> str:
    return f" of {candidate.weights}" if candidate.weights else ""
