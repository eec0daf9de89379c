"""Every cause that the doctor can tell from the others, in the order of what to mend first.

A run with several faults shows the consequences of all of them. What spoils the measuring comes
first (modes, the loop), then what spoils the data, then what keeps the optimizer from working, and
last what is wrong with a network that has learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["loop", "modes", "data", "optimization", "generalisation"]


@dataclass(frozen=True)
class Cause:
    """A cause. title: in a few words. hides: causes that it brings with it, as consequences, which
    are not reported beside it."""

    id: str
    family: Family
    title: str
    hides: tuple[str, ...] = ()


_SLOW = ("learning-rate-too-low", "underfitting", "stopped-too-early", "degradation")
_BROKEN = (
    *_SLOW,
    "learning-rate-too-high",
    "vanishing-gradients",
    "exploding-gradients",
    "dead-relus",
    "collapse-to-majority",
    "weight-decay-too-strong",
    "schedule-ends-too-early",
)

_ALL = (
    # What the loop does to the training.
    Cause("steps-without-gradients", "loop", "Steps are taken without gradients", _BROKEN),
    Cause("loss-below-zero", "loop", "The loss falls below zero", _BROKEN),
    Cause("gradients-not-cleared", "loop", "Gradients are never cleared", _BROKEN),
    Cause("parameters-not-optimised", "loop", "Parameters are missing from the optimizer", _BROKEN),
    Cause("layer-frozen", "loop", "A layer is frozen", _SLOW),
    Cause("softmax-before-loss", "loop", "Probabilities go into a loss that wants logits", _BROKEN),
    Cause("trained-in-eval-mode", "modes", "Trained in evaluation mode", _BROKEN),
    Cause(
        "frozen-norm-uses-batch-statistics",
        "modes",
        "Frozen batch norms still use batch statistics",
    ),
    Cause(
        "batch-statistics-in-evaluation",
        "modes",
        "Evaluated with the batch's own statistics",
        ("overfitting",),
    ),
    Cause("dropout-in-evaluation", "modes", "Dropout is left on in evaluation", ("underfitting",)),
    Cause(
        "ema-too-slow",
        "modes",
        "The average of the weights still holds the beginning",
        (*_SLOW, "overfitting"),
    ),
    Cause(
        "norm-statistics-behind",
        "modes",
        "Batch norms still hold the statistics of the beginning",
        (*_SLOW, "overfitting"),
    ),
    # What is wrong with the data.
    Cause("input-range", "data", "Inputs have the wrong range or are not normalised", _BROKEN),
    Cause("input-statistics", "data", "Inputs are normalised otherwise than the weights expect"),
    Cause("channel-order", "data", "Colour channels are in the wrong order"),
    Cause("blank-images", "data", "Images are blank"),
    Cause("leakage", "data", "Validation images are training images, too"),
    Cause(
        "splits-differ", "data", "Validation images differ from training images", ("overfitting",)
    ),
    Cause("classes-shifted", "data", "Classes are numbered otherwise in validation"),
    Cause(
        "labels-shuffled",
        "data",
        "Labels have nothing to do with the images",
        (*_BROKEN, "overfitting", "label-noise"),
    ),
    Cause("label-noise", "data", "Some labels are wrong", ("overfitting", "underfitting")),
    Cause("not-shuffled", "data", "Training images come in order", _BROKEN),
    Cause("same-worker-streams", "data", "Workers draw the same augmentations"),
    Cause("augmented-validation", "data", "Validation images are augmented", ("underfitting",)),
    Cause(
        "augmentation-destroys-labels",
        "data",
        "Augmentation changes what images show",
        ("underfitting", "overfitting"),
    ),
    Cause(
        "collapse-to-majority",
        "data",
        "Rare classes are never named",
        ("underfitting", "stopped-too-early"),
    ),
    # What keeps the optimizer from working.
    Cause("bad-initialisation", "optimization", "Weights begin wrong", _BROKEN),
    Cause(
        "exploding-gradients",
        "optimization",
        "Gradients explode",
        ("learning-rate-too-high", "dead-relus", "collapse-to-majority", *_SLOW[:-1]),
    ),
    Cause(
        "learning-rate-too-high",
        "optimization",
        "The learning rate is too high",
        ("dead-relus", "collapse-to-majority", "weight-decay-too-strong", *_SLOW[1:]),
    ),
    Cause(
        "vanishing-gradients",
        "optimization",
        "Gradients vanish on the way to the first layers",
        (*_SLOW, "missing-normalisation"),
    ),
    Cause("missing-normalisation", "optimization", "Normalisation is missing", _SLOW),
    Cause("dead-relus", "optimization", "ReLUs are dead", _SLOW[:-1]),
    Cause("batch-too-small", "optimization", "Batches are too small for batch norm"),
    Cause("weight-decay-too-strong", "optimization", "Weight decay is too strong", _SLOW),
    Cause(
        "schedule-ends-too-early",
        "optimization",
        "The learning rate reaches zero too early",
        _SLOW,
    ),
    Cause("learning-rate-too-low", "optimization", "The learning rate is too low", _SLOW[1:]),
    Cause(
        "degradation",
        "optimization",
        "A plain network so deep is hard to optimize",
        ("exploding-gradients", "dead-relus", "underfitting", "stopped-too-early"),
    ),
    Cause(
        "nothing-learnt",
        "optimization",
        "Nothing was learnt, and the cause was not found",
        ("little-carries-over",),
    ),
    # What a network that has learnt still lacks.
    Cause("stopped-too-early", "generalisation", "Stopped while it still improved"),
    Cause("underfitting", "generalisation", "The network is too small or held back too much"),
    Cause("overfitting", "generalisation", "The network learns its images by heart"),
    Cause(
        "little-carries-over",
        "generalisation",
        "Validation comes to little, and the cause was not found",
    ),
)

CAUSES = {cause.id: cause for cause in _ALL}


def rank(cause: str) -> int:
    """The place of a cause in the order of what to mend first."""
    return list(CAUSES).index(cause)
