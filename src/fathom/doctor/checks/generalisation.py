"""Generalisation: what a network that has learnt still lacks. Accuracy on training images, not
augmented and in evaluation mode, decides between learning by heart and learning too little."""

from __future__ import annotations

import math

import numpy as np

from fathom.doctor.checks.outcome import (
    TRIAL,
    chance,
    end_loss,
    end_top1,
    in_recipe,
    last_exam,
    loss_chart,
)
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Exam, Observed

_BY_HEART = 0.95  # of the training images
_GAP = 0.1  # of accuracy, up to which validation is as good as training
_VISITS = 30  # epochs
_SELDOM = 3  # epochs
_LITTLE = 0.7  # of the training images
_FALLING = 0.1  # of the loss, over the last half of the run
_BEGINNING = 0.03  # in the first epochs
_LEVEL = 0.03
_BEYOND = 3.0  # standard errors
_HIGH = 0.1  # of the largest learning rate
_MUCH_LEFT = 0.3  # of the loss of guessing
_POINTS = 16  # of the curve


def _pair(seen: Observed) -> tuple[Exam, Exam] | None:
    """The last exams of training and of validation images of a run that is over."""
    train, val = last_exam(seen, "train"), last_exam(seen, "val") or last_exam(seen, "test")
    if not seen.over or seen.diverged is not None or train is None or val is None:
        return None
    return train, val


def overfitting(seen: Observed) -> Finding | None:
    """Measure: accuracy on training images, that on validation images, and epochs.
    Threshold: at least 95 % of the training images right, validation 10 points and 3 standard
    errors below, and each image seen 30 times. Without the last, few images in a short run would
    pass for it, which more training still helps. Source: the trial's first half.
    """
    pair = _pair(seen)
    if pair is None:
        return None
    train, val = pair
    gap, error = train.top1 - val.top1, math.sqrt(val.top1 * (1 - val.top1) / val.images)
    visits = _visits(seen)
    if train.top1 < _BY_HEART or gap < max(_GAP, _BEYOND * error) or visits < _VISITS:
        return None
    return Finding(
        "overfitting",
        f"The network names {train.top1:.0%} of the training images right and {val.top1:.0%} of "
        f"the validation images, after seeing each about {visits:.0f} times.",
        (Evidence("training less validation accuracy", gap, _GAP, above=True, source=TRIAL),
         Evidence("accuracy on training images", train.top1, _BY_HEART, above=True, source=TRIAL),
         Evidence("times that each image was seen", visits, _VISITS, above=True, source=TRIAL)),
        Remedy(
            "More images; else stronger augmentation, pretrained weights, more weight decay or a "
            "smaller network.",
            in_recipe(seen, "augment.policy", "trivialaugment"),
            "transform = transforms.Compose([transforms.TrivialAugmentWide(), transform])",
        ),
        rejected=(
            Rejected("underfitting", f"{train.top1:.0%} of the training images are learnt"),
        ),
        chart=loss_chart(seen, "Training loss"),
    )  # fmt: skip


def _visits(seen: Observed) -> float:
    """How often each training image was seen, 0 where nobody told."""
    if not seen.curve.step or not seen.task.steps_per_epoch:
        return 0.0
    return seen.curve.step[-1] / seen.task.steps_per_epoch


def underfitting(seen: Observed) -> Finding | None:
    """Measure: accuracy on training images, that on validation images, and the fall of the training
    loss over the last half of the run.
    Threshold: under 70 % of the training images right but twice as many as by chance, validation
    within 10 points, and a fall under 3 %. Source: the trial's first half, none of whose healthy
    runs names under 70 % right; the fall by the example in docs/doctor/underfitting.md.
    """
    pair, trend = _pair(seen), _trend(seen)
    if pair is None or trend is None or seen.task.num_classes < 2:
        return None
    train, val = pair
    something = 2 / seen.task.num_classes
    if not something < train.top1 < _LITTLE or train.top1 - val.top1 > _GAP:
        return None
    if trend[0] > _LEVEL:
        return None
    return Finding(
        "underfitting",
        f"Only {train.top1:.0%} of the training images are named right ({val.top1:.0%} in "
        "validation), and the loss no longer falls.",
        (Evidence("accuracy on training images", train.top1, _LITTLE, above=False, source=TRIAL),
         Evidence("training less validation accuracy", train.top1 - val.top1, _GAP,
                  above=False, source=TRIAL),
         Evidence("fall of the loss over the last half", trend[0], _LEVEL, above=False,
                  source=TRIAL)),
        Remedy(
            "A larger network or pretrained weights, larger images, or less that holds it back: "
            "weight decay, dropout, augmentation, label smoothing.",
            in_recipe(seen, "augment.policy", "none"),
        ),
        rejected=(
            Rejected("overfitting", "training images are not learnt either"),
            Rejected("stopped-too-early", "the loss no longer falls"),
        ),
        chart=loss_chart(seen, "Training loss"),
    )  # fmt: skip


def stopped_too_early(seen: Observed) -> Finding | None:
    """Measure: fall of the training loss over the last half of the run, with its standard
    error, the learning rate at the end over its largest, and both accuracies.
    Threshold: 10 % by 3 standard errors; in under 3 epochs either 10 % or, by 3 standard errors,
    3 %, as deep networks take a while to begin; in more, a loss of over 0.3 of guessing, as what
    falls below that is in part learnt by heart; a rate of at least a tenth, validation within 10
    points, and under 95 % of the training images right. A rate that has gone to zero ends a run by
    plan: more of the same would bring nothing. Source: the trial's first half.
    """
    pair, trend = _pair(seen), _trend(seen)
    if pair is None or trend is None:
        return None
    (train, val), (fall, error) = pair, trend
    rate = seen.curve.lr[-1] / max(max(seen.curve.lr), 1e-30)
    short, sure = 0 < _visits(seen) < _SELDOM, fall >= _BEYOND * error
    least = _BEGINNING if short and sure else _FALLING
    if fall < least or not (short or sure) or rate < _HIGH:
        return None
    left = end_loss(seen) / chance(seen)
    if not short and not left > _MUCH_LEFT:
        return None
    if train.top1 >= _BY_HEART or train.top1 - val.top1 > _GAP:
        return None
    return Finding(
        "stopped-too-early",
        f"The training loss was still falling by {fall:.0%} over the last half of the run when "
        f"it stopped, at {train.top1:.0%} of the training and {val.top1:.0%} of the validation "
        "images.",
        (Evidence("fall of the loss over the last half", fall, least, above=True, source=TRIAL),
         Evidence("last learning rate over the largest", rate, _HIGH, above=True, source=TRIAL),
         *(() if short else (Evidence("loss on training images at the end over that of guessing",
                  left, _MUCH_LEFT, above=True, source=TRIAL),)),
         Evidence("training less validation accuracy", train.top1 - val.top1, _GAP,
                  above=False, source=TRIAL)),
        Remedy(
            "Train longer, three times as long to begin with, and let the learning rate fall to "
            "zero by the end.",
            _longer(seen),
            "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3 * steps)",
        ),
        rejected=(
            Rejected("underfitting", "the loss was still falling"),
            Rejected("overfitting", "validation is as good as training"),
        ),
        chart=loss_chart(seen, "Training loss"),
    )  # fmt: skip


def _longer(seen: Observed) -> dict[str, str]:
    """Three times whichever length the recipe has."""
    for path in ("epochs", "steps", "minutes"):
        length = seen.task.recipe.get(path)
        if length is not None:
            return {path: f"{3 * length:g}"}
    return {}


def _trend(seen: Observed) -> tuple[float, float] | None:
    """The relative fall of a line through the loss over the last half of the run, from its start to
    its end, and its standard error; None for fewer than 16 points."""
    losses = np.array(seen.curve.loss[len(seen.curve.loss) // 2 :])
    if len(seen.curve.loss) < _POINTS or not np.isfinite(losses).all():
        return None
    progress = np.linspace(-0.5, 0.5, len(losses))
    mean, slope = losses.mean(), (progress * losses).sum() / (progress**2).sum()
    start = mean - slope / 2
    if start <= 0:
        return None
    residual = losses - mean - slope * progress
    spread = math.sqrt((residual**2).sum() / (len(losses) - 2) / (progress**2).sum())
    return float(-slope / start), float(spread / start)


def little_carries_over(seen: Observed) -> Finding | None:
    """Measure: accuracy on validation images over that on training images, judged or as the last
    steps had it, whichever is higher.
    Threshold: half, by 3 standard errors, where training is twice as good as chance. Source: none
    published; `diagnose` reports it only where no check knows the cause, so that a run which is of
    no use on new images is never called healthy.
    """
    pair = _pair(seen)
    if pair is None:
        return None
    train, val = max(pair[0].top1, np.nan_to_num(end_top1(seen))), pair[1]
    error = math.sqrt(val.top1 * (1 - val.top1) / val.images)
    if train * seen.task.num_classes < 2 or val.top1 + _BEYOND * error >= train / 2:
        return None
    return Finding(
        "little-carries-over",
        f"The network names {train:.0%} of the training images right and only {val.top1:.0%} "
        "of the validation images. What the doctor knows to look for is not the cause.",
        (Evidence("validation over training accuracy", val.top1 / train, 0.5, above=False,
                  source="definition"),),
        Remedy(
            "Evaluate on the training images with the code that evaluates the others: if they are "
            "named right, the images differ or are too few; if not, the evaluation is at fault.",
            code="evaluate(model, train_loader)  # without augmentation, as validation is",
        ),
        confidence=0.5,
    )  # fmt: skip


CHECKS: dict[str, Check] = {
    "overfitting": overfitting,
    "underfitting": underfitting,
    "stopped-too-early": stopped_too_early,
    "little-carries-over": little_carries_over,
}
