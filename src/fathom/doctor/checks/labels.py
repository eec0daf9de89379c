"""Labels: whether they belong to the images, and whether augmentation leaves them true."""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]

from fathom.doctor.checks.outcome import TRIAL, in_recipe, last_exam
from fathom.doctor.diagnose import Check
from fathom.doctor.nouns import Evidence, Finding, Rejected, Remedy
from fathom.doctor.observed import Exam, Neighbours, Observed

_MAJORITY = 0.5
_FEW = 5  # images of a class
_NOTHING = 0.25  # of what neighbours agree by beyond chance
_SURE = 5.0  # standard errors
_NOISY = 0.05
_BLANK = 0.01
_BEYOND = 3.0  # standard errors
_LOST = 0.15
_LEARNT = 0.9


def classes_shifted(seen: Observed) -> Finding | None:
    """Measure: classes whose validation images are named as one other class, by the best one-to-one
    renaming of all, that the network tells well in training.
    Threshold: two classes of 5 images and more, by a majority of their images and of that answer,
    in training and in validation.
    Source: a majority by definition; the renaming by Kuhn 1955, "The Hungarian method for the
    assignment problem", Naval Research Logistics Quarterly 2, 83-97.
    """
    train, val = last_exam(seen, "train"), last_exam(seen, "val") or last_exam(seen, "test")
    if train is None or val is None or train.matrix is None or val.matrix is None:
        return None
    matrix, known = np.array(val.matrix), np.array(train.matrix)
    names = linear_sum_assignment(-matrix)[1]
    moved = [
        k
        for k, name in enumerate(names)
        if name != k
        and matrix[k].sum() >= _FEW
        and _tells(matrix, k, name)
        and _tells(known, name, name)
    ]
    if len(moved) < 2:
        return None
    renamed = float(sum(matrix[k, name] for k, name in enumerate(names)) / matrix.sum())
    return Finding(
        "classes-shifted",
        f"Validation accuracy is {val.top1:.0%}, and would be {renamed:.0%} with {len(moved)} "
        "classes numbered otherwise: all their images are named as one other class.",
        (Evidence("classes that are named as one other class", len(moved), 1, above=True,
                  source="definition"),
         Evidence("accuracy gained by renaming classes", renamed - val.top1, 0, above=True,
                  source="definition")),
        Remedy(
            "Number the classes of both splits by one list of their names.",
            code="assert val.class_to_idx == train.class_to_idx",
        ),
        where=tuple(f"class {k} is named {names[k]}" for k in moved),
        rejected=(
            Rejected("overfitting", "its mistakes go to many classes, not all to one"),
            Rejected("labels-shuffled", "labels of training are learnt and found again"),
        ),
    )  # fmt: skip


def _tells(matrix: np.ndarray, row: int, column: int) -> bool:
    """Whether most images of this class get this answer, and most with this answer are of it."""
    hits = matrix[row, column]
    return bool(hits > _MAJORITY * matrix[row].sum() and hits > _MAJORITY * matrix[:, column].sum())


def labels_shuffled(seen: Observed) -> Finding | None:
    """Measure: how often the nearest training image, by a thumbnail, has the same label beyond
    chance: for training and for validation images, over validation images among themselves.
    Threshold: a quarter for both, where validation's own agreement is 5 standard errors above
    chance. Needs no network, so it holds for one that learns by heart and for one that learns
    nothing. Source: definition of independence; the limits by the trial's first half.
    """
    found = seen.labels.neighbours
    if found is None:
        return None
    beyond = found.val - found.chance
    error = math.sqrt(found.chance * (1 - found.chance) / found.val_images)
    if beyond < _SURE * error:
        return None
    inside, across = (found.train - found.chance) / beyond, (found.across - found.chance) / beyond
    if max(inside, across) > _NOTHING:
        return None
    train = last_exam(seen, "train")
    heart = (
        () if train is None or train.top1 < _MAJORITY
        else (Rejected("overfitting", "there is nothing to be learnt but images by heart"),)
    )  # fmt: skip
    return Finding(
        "labels-shuffled",
        f"The training image most like another has its label in {found.train:.0%} of cases, as by "
        f"chance ({found.chance:.0%}); among validation images in {found.val:.0%}. The training "
        "labels have nothing to do with the images.",
        (Evidence("agreement of training images beyond chance, over that of validation images",
                  inside, _NOTHING, above=False, source=TRIAL),
         Evidence("agreement of validation with training images beyond chance, over the same",
                  across, _NOTHING, above=False, source=TRIAL)),
        Remedy(
            "See how images and labels are put together: two lists sorted or shuffled apart, or "
            "files read in another order than their labels.",
            code="order = torch.randperm(len(images))\n"
            "images, labels = images[order], labels[order]  # one order for both",
        ),
        rejected=(
            *heart,
            Rejected("classes-shifted", "training images do not even agree among themselves"),
            Rejected("learning-rate-too-low", "neighbours were compared without the network"),
        ),
    )  # fmt: skip


def label_noise(seen: Observed) -> Finding | None:
    """Measure: share of wrong training labels, from the surer of two: neighbours' agreement in
    training over that of validation images with training images; accuracy on training images, not
    augmented, over that on validation images, which no network with sound labels knows better.
    Threshold: 5 %, and 3 standard errors above zero. Source: Zhu et al. 2021, arXiv:2102.05291; the
    limits by the trial's first half. `labels.judge_labels` is more exact, and needs features.
    """
    if labels_shuffled(seen) is not None or seen.sharing.moving or seen.sharing.blank > _BLANK:
        return None  # validation images are no measure, or blank images explain the mistakes
    estimates = [found for found in (_near(seen), _unlearnt(seen)) if found]
    sure = [(share, error) for share, error in estimates if share - _BEYOND * error > 0]
    share, error = min(sure, key=lambda found: found[1] / found[0], default=(0.0, 0.0))
    if share < _NOISY:
        return None
    low, high = max(0.0, share - 1.96 * error), min(1.0, share + 1.96 * error)
    suspects = seen.labels.suspects
    return Finding(
        "label-noise",
        f"About {share:.0%} of the training labels are wrong (95 % interval {low:.0%} to "
        f"{high:.0%}).",
        (Evidence("share of wrong training labels", share, _NOISY, above=True, source=TRIAL),
         Evidence("standard errors above zero", share / error, _BEYOND, above=True,
                  source="one false alarm in 740 runs")),
        Remedy(
            "Look at the most suspicious images first and mend their labels; a pretrained network "
            "finds them with `fathom doctor labels`. Until then hold the network back from "
            "learning them by heart: shorter training, label smoothing, mixup.",
            in_recipe(seen, "loss.label_smoothing", "0.1"),
            "loss = F.cross_entropy(logits, targets, label_smoothing=0.1)",
        ),
        where=tuple(f"{name} ({label}, seems {other})" for name, label, other in suspects[:20]),
        rejected=(
            Rejected("overfitting", "labels disagree among images that are alike, seen or not"),
            Rejected("labels-shuffled", f"{1 - share:.0%} of the labels are right"),
        ),
    )  # fmt: skip


def _near(seen: Observed) -> tuple[float, float] | None:
    """From neighbours: training images among themselves, over validation among training images."""
    found = seen.labels.neighbours
    if found is None or seen.sharing.leaked or found.across <= found.chance:
        return None
    return _missing(found.train, found.images, found.across, found.val_images)


def _unlearnt(seen: Observed) -> tuple[float, float] | None:
    """From accuracies: training images, not augmented, over validation images."""
    train, val = last_exam(seen, "train"), last_exam(seen, "val")
    if train is None or val is None or train.augmented or val.top1 * seen.task.num_classes < 2:
        return None
    return _missing(train.top1, train.images, val.top1, val.images)


def _missing(part: float, images: int, whole: float, others: int) -> tuple[float, float] | None:
    """1 - part / whole of two shares of so many images, and its standard error."""
    if part <= 0 or whole <= 0:
        return None
    spread = (1 - part) / (part * images) + (1 - whole) / (whole * others)
    return 1 - part / whole, max(1e-9, part / whole * math.sqrt(spread))


def augmentation_destroys_labels(seen: Observed) -> Finding | None:
    """Measure: how often the plain training image most like an augmented one has its label, beyond
    chance, over the same for plain images. Threshold: 0.15, where training names under 90 % of its
    augmented images. Source: the trial's first half; crops to 8 % of the area, mirror images and
    turns by right angles keep 0.3 and more on digits and CIFAR-10.
    """
    near, shown = seen.labels.neighbours, last_exam(seen, "augmented")
    if near is None or near.shown is None or shown is None or shown.top1 >= _LEARNT:
        return None
    beyond = near.train - near.chance
    error = math.sqrt(near.chance * (1 - near.chance) / near.images)
    if beyond < _SURE * error or (near.shown - near.chance) > _LOST * beyond:
        return None
    return _destroyed(seen, near, shown)


def _destroyed(seen: Observed, near: Neighbours, shown: Exam) -> Finding:
    kept = (near.shown or 0.0) - near.chance
    ways = ("augment.policy", "augment.erase", "augment.cutout")
    changes = {
        path: value
        for way in ways
        if _recipe(seen, way) is not None
        for path, value in in_recipe(seen, way, "none").items()
    }
    return Finding(
        "augmentation-destroys-labels",
        f"As they are, {near.train:.0%} of the training images are most like one of their own "
        f"class; augmented, {near.shown or 0.0:.0%} are (by chance {near.chance:.0%}), and the "
        f"network names {shown.top1:.0%} of them right.",
        (Evidence("likeness to the own class that augmentation leaves",
                  kept / (near.train - near.chance), _LOST, above=False, source=TRIAL),
         Evidence("accuracy on augmented training images", shown.top1, _LEARNT, above=False,
                  source=TRIAL)),
        Remedy(
            "Weaken the augmentation, or leave out what hides the object; `fathom augment check` "
            "tells which part of it changes which classes.",
            changes,
            "transform = transforms.RandomCrop(32, padding=4)  # and nothing else, to compare",
        ),
        rejected=(
            Rejected("underfitting", "images as they are can be told apart even by thumbnails"),
            Rejected("labels-shuffled", f"plain images agree in {near.train:.0%} of cases"),
        ),
    )  # fmt: skip


def _recipe(seen: Observed, path: str) -> object:
    """A value of the recipe, None where there is none."""
    found: object = seen.task.recipe
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


CHECKS: dict[str, Check] = {
    "classes-shifted": classes_shifted,
    "labels-shuffled": labels_shuffled,
    "label-noise": label_noise,
    "augmentation-destroys-labels": augmentation_destroys_labels,
}
