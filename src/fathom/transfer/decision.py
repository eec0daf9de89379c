"""What a transfer found out, what it chose, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fathom.evaluate import wilson
from fathom.transfer.curves import LearningCurve
from fathom.transfer.similarity import Domain
from fathom.transfer.strategies import Strategy

# How fast the error of a strategy falls with time, as time ** -rate. Assumed, and said so in words:
# a probe is finished at once, and a network with fresh weights has the most to learn.
FALL: Mapping[Strategy, float] = {"probe": 0.0, "partial": 0.1, "finetune": 0.15, "scratch": 0.4}
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
class Candidate:
    """One strategy after its share of the race: right of num_images validation images.

    seconds is what it has had; expected is its accuracy at the end of the whole time, if its error
    goes on falling as FALL assumes.
    """

    strategy: Strategy
    weights: str | None
    right: int
    num_images: int
    seconds: float
    expected: float

    @property
    def top1(self) -> float:
        """The share of validation images named right."""
        return self.right / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % Wilson interval of top1."""
        return wilson(self.right, self.num_images)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, with what is derived."""
        low, high = self.interval
        return {**asdict(self), "top1": self.top1, "low": low, "high": high}


def expected_top1(
    strategy: Strategy, *, right: int, num_images: int, most: int, seconds: float, left: float
) -> float:
    """The accuracy after `left` more seconds, from that after the first ones.

    One mistake is added, and one more of each kind to the images, so that no network that was right
    on a handful of images passes for perfect. most is how many images are of the most frequent
    class: of a network that names no more right, which could be had by always answering that class,
    no progress is expected.
    """
    error = (num_images - right + 1) / (num_images + 2)
    rate = FALL[strategy] if right > most else 0.0
    if rate and left > 0:
        error *= (seconds / (seconds + left)) ** rate
    return 1 - error


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
            told.append(
                f"{_start(_NAMES[other.strategy])}{_of(other)} named {other.top1:.1%} of "
                f"{other.num_images:,} validation images right ({low:.1%} to {high:.1%}) after "
                f"{other.seconds:.0f} s, and is expected at {other.expected:.1%} at the end."
            )
        told.append("What is expected rests on rates that are assumed, not measured.")
        if self.domain is not None and self.domain.norm_distance is not None:
            told.append(
                f"The images are {_NEAR[self.domain.reading]} those that the weights were trained "
                f"on (distance {self.domain.norm_distance:.3f} inside the network)."
            )
        told.append(self._with_more())
        told.extend(self._elsewhere())
        spent = sum(self.seconds.values())
        told.append(
            f"To find that out took {spent:.0f} s of {self.minutes * 60:.0f} s; what the race "
            "learnt is where the rest goes on."
        )
        return tuple(told)

    def _with_more(self) -> str:
        """What ten times the images would change."""
        if self.learning is None or not self.learning.extrapolates:
            return "There are too few images to tell what ten times as many would bring."
        low, middle, high = self.learning.at(10 * self.learning.images)
        now = self.learning.at(self.learning.images)[1]
        return (
            f"With ten times the images the probe alone is expected at {middle:.1%} ({low:.1%} to "
            f"{high:.1%}), {100 * (middle - now):.1f} points more than now; what the others would "
            "make of them `fathom transfer --curve` measures."
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
