"""Training and validation images: what stands in both, and what sets them apart."""

from __future__ import annotations

import math

from fathom.doctor.checks.outcome import TRIAL, last_exam
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Observed

_ONE_IN = 0.01  # of the validation images that may be in training: sets in wide use have some
_APART, _APART_AUGMENTED = 0.4, 1.0  # standard deviations
_ERRORS = 6.0  # of an effect that is the largest of many
_BEHIND = 0.05  # of accuracy
_SURE = 3.0  # standard errors


def leakage(seen: Observed) -> Finding | None:
    """Measure: share of validation images whose content, byte by byte, a training image has.
    Threshold: 1 %, and 2 images. Source: the trial's first half; sets in wide use have some copies
    (Barz and Denzler 2019, arXiv:1902.00423).
    """
    found = seen.sharing
    if found.leaked < 2 or found.leaked <= _ONE_IN * found.judged:
        return None
    share = found.leaked / found.judged
    return Finding(
        "leakage",
        f"{found.leaked:,} of {found.judged:,} validation images ({share:.1%}) are training "
        "images, too, so the validation accuracy is too good.",
        (Evidence("share of validation images that are training images", share, _ONE_IN,
                  above=True, source=TRIAL),),
        Remedy(
            "Take these images out of training, and split by subject or source where images "
            "belong together.",
            code="known = {image.tobytes() for image in val_images}\n"
            "kept = [i for i, image in enumerate(train_images) if image.tobytes() not in known]",
        ),
        where=tuple(found.leaked_names),
        since=0,
    )  # fmt: skip


def splits_differ(seen: Observed) -> Finding | None:
    """Measure: the respect in which validation images are least like training images of their
    class (`splits.furthest`), as an effect size, and both accuracies.
    Threshold: 0.4 standard deviations, or 1 where training images are augmented, and 6 standard
    errors; validation 5 points and 3 standard errors below training. Source: 18 random splits of
    digits and CIFAR-10 come to 0.40 and 3 standard errors at most, docs/results/doctor.md.
    """
    apart = seen.sharing.apart
    train, val = last_exam(seen, "train"), last_exam(seen, "val") or last_exam(seen, "test")
    if apart is None or train is None or val is None:
        return None
    limit = max(_APART_AUGMENTED if apart.augmented else _APART, _ERRORS * apart.error)
    gap, error = train.top1 - val.top1, math.sqrt(val.top1 * (1 - val.top1) / val.images)
    if apart.effect <= limit or gap <= max(_BEHIND, _SURE * error):
        return None
    return Finding(
        "splits-differ",
        f"Validation images differ from training images of the same class in {apart.respect}, by "
        f"{_in_words(apart.effect)} standard deviations, and {val.top1:.0%} of them are named "
        f"right against {train.top1:.0%}.",
        (Evidence(f"difference in {apart.respect} (standard deviations)", apart.effect, limit,
                  above=True, source=TRIAL),
         Evidence("training less validation accuracy", gap, _BEHIND, above=True, source=TRIAL)),
        Remedy(
            "Read, turn, resize and normalise both splits in the same way; where they truly come "
            "from different sources, mix the sources in both.",
            code="images, _ = next(iter(val_loader))\n"
            "print(images.mean((0, 2, 3)), images.std((0, 2, 3)))  # and the same of training",
        ),
        rejected=(Rejected("overfitting", "the images themselves differ, whatever was learnt"),),
    )  # fmt: skip


def _in_words(effect: float) -> str:
    return "more than 100" if effect > 100 else f"{effect:.2g}"


CHECKS: dict[str, Check] = {
    "leakage": leakage,
    "splits-differ": splits_differ,
}
