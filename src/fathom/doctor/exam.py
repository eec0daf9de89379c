"""Asking the loaders when a run is over: how well the network knows their images, as they ought to
be judged, in evaluation mode; and what the images themselves show."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from fathom.doctor import sharing
from fathom.doctor.feed import (
    Fed,
    Loader,
    Sample,
    at_places,
    chance_kept,
    evaluated_view,
    places_of,
    read_inputs,
    sample,
)
from fathom.doctor.labels import neighbours
from fathom.doctor.line import logits_of, untouched
from fathom.doctor.observed import Exam, Observed
from fathom.doctor.splits import furthest
from fathom.errors import UserError

IMAGES = 512  # of an exam
MOST_CLASSES = 200  # of a matrix that is kept
_ROWS = 128
_ALL = 5000  # images of a split that are read only to see whether they are in the other one
_NAMED = 20  # of leaked images
_COMPARED = 128  # images of a loader that are held against what the model was fed
_FIRST, _FIRST_SECONDS = 128, 20.0  # images that are looked at before the first step


def examine(
    model: nn.Module,
    seen: Sample,
    *,
    split: str,
    step: int,
    weights: str = "result",
    augmented: bool = False,
) -> Exam:
    """The first 512 images of a sample, in evaluation mode; the model stays as it is."""
    device = next(model.parameters()).device
    some = seen.first(IMAGES)
    with untouched(model), torch.no_grad():
        model.eval()
        parts = torch.split(some.images, _ROWS)
        logits = torch.cat([logits_of(model(part.to(device))).float().cpu() for part in parts])
    named, classes = logits.argmax(1), logits.shape[1]
    matrix: list[list[int]] | None = None
    if classes <= MOST_CLASSES:
        cells = torch.bincount(some.targets * classes + named, minlength=classes**2)
        matrix = cells.view(classes, classes).tolist()
    loss = float(F.cross_entropy(logits, some.targets))
    right = float((named == some.targets).float().mean())
    return Exam(step, split, weights, loss, right, len(named), matrix, augmented)


def ask_first(seen: Observed, model: nn.Module, train: Loader) -> None:
    """Take in how training images are prepared, before any step.

    128 of them are asked about, since fewer do not tell the order of channels for certain
    (docs/results/transfer.md). Raises UserError where they do not come as images with classes.
    """
    with chance_kept():
        shown = sample(train, images=_FIRST, seconds=_FIRST_SECONDS)
    if shown is None:
        raise UserError(
            "train= does not give batches of (N, C, H, W) images with (N,) classes, which is what "
            "can be checked before the first step; go on without check()"
        )
    images = shown.images.to(next(model.parameters()).device)
    seen.inputs = read_inputs(model, images, pretrained=seen.task.pretrained, asked=_FIRST)


def ask(
    seen: Observed,
    model: nn.Module,
    *,
    train: Loader | None,
    val: Loader | None,
    step: int,
    raw: nn.Module | None = None,
    fed: Fed | None = None,
) -> dict[str, str]:
    """Take in what loaders of training and validation images show -> why that is not asked of a
    loader, by its split.

    model: with the weights that the run ends with; raw: with those that train, where these are
    others. Models, loaders and the global random states stay as they were. Training images are
    judged without augmentation where that can be had: as they are where reading them twice gives
    the same, else through the transform of the validation images.

    fed: what the model was fed in training. A loader that gives something else, as where the loop
    normalises, is not asked. Validation images alone may be scaled otherwise, if training images
    are not: that is a fault of the run.
    """
    unasked = {}
    with chance_kept():
        if train is not None and (why := _unfit(sample(train, images=_COMPARED), fed)):
            unasked["train"], train = why, None
        judged = None if val is None else sample(val)
        if val is not None and (why := _unfit(judged, fed, scaled=train is None)):
            unasked["val"], judged = why, None
        if judged is not None:
            seen.add_exam(examine(model, judged, split="val", step=step))
            if raw is not None:
                seen.add_exam(examine(raw, judged, split="val", step=step, weights="raw"))
            if judged.places is not None:
                seen.sharing.moving = sharing.moves(cast(DataLoader[Any], val), judged)
        if train is not None:
            _ask_train(seen, model, train, val if judged is not None else None, judged, step)
    return unasked


def _unfit(given: Sample | None, fed: Fed | None, *, scaled: bool = True) -> str:
    """Why a model cannot be asked about what a loader gives, "" where it can; scaled: whether the
    scale counts, besides the type."""
    if given is None:
        return (
            "does not give batches of (N, C, H, W) images with (N,) classes: give a loader of "
            "(images, classes)"
        )
    why = "" if fed is None else fed.unlike(given.images, scaled=scaled)
    return f"{why}: give a loader of what the model is fed" if why else ""


def _ask_train(
    seen: Observed,
    model: nn.Module,
    train: Loader,
    val: Loader | None,
    judged: Sample | None,
    step: int,
) -> None:
    shown = sample(train)
    if shown is None:
        return
    if not seen.task.counts:
        seen.task.counts = _counts(seen, train, shown)
    if shown.places is None:
        seen.add_exam(examine(model, shown, split="train", step=step, augmented=True))
        return
    loader = cast(DataLoader[Any], train)
    if seen.task.batch_size:
        parts = max(1, round(seen.passes.backward / max(1, step)))  # that a step is made of
        seen.task.steps_per_epoch = max(1, places_of(train) // (parts * seen.task.batch_size))
    moving = sharing.moves(loader, shown) > 0
    if moving and loader.num_workers:
        seen.sharing.same_streams = sharing.same_streams(loader)
    dataset = loader.dataset if not moving else _still(seen, loader, val)
    plain = shown if not moving else None
    if moving and dataset is not None:
        plain = at_places(loader, shown.places, dataset=dataset)
    known = shown if plain is None else plain
    seen.add_exam(examine(model, known, split="train", step=step, augmented=plain is None))
    if plain is not None and moving:
        seen.add_exam(examine(model, shown, split="augmented", step=step, augmented=True))
    if plain is not None:
        look_at_plain(seen, plain, judged, shown if moving else None)
    if judged is not None and not seen.sharing.moving:
        seen.sharing.apart = furthest(shown, judged, augmented=moving)
    if val is not None and places_of(val):
        _ask_sharing(seen, loader, cast(DataLoader[Any], val), dataset)


def _counts(seen: Observed, train: Loader, shown: Sample) -> list[int]:
    """Training images of each class: estimated from a sample, where there are more; of a loader
    that does not tell how many there are, those of the sample."""
    found = shown.targets.bincount(minlength=seen.task.num_classes)
    scale = 1.0 if shown.places is None else places_of(train) / len(shown.targets)
    return [round(scale * count) for count in found.tolist()]


def _still(seen: Observed, loader: DataLoader[Any], val: Loader | None) -> Any | None:
    """The training data set without its augmentation, None where it cannot be had."""
    if val is None or not places_of(val) or seen.sharing.moving:
        return None
    return evaluated_view(loader.dataset, cast(DataLoader[Any], val).dataset)


def look_at_plain(
    seen: Observed, plain: Sample, judged: Sample | None, shown: Sample | None
) -> None:
    """Take in what images without augmentation show, of training and of validation, and beside
    them training images as training sees them, where these are augmented."""
    seen.sharing.blank = float(sharing.blank(plain.images).float().mean())
    seen.sharing.plain = len(plain.images)
    if judged is not None and not seen.sharing.moving:
        seen.labels.neighbours = neighbours(plain, judged, shown)


def _ask_sharing(
    seen: Observed, train: DataLoader[Any], val: DataLoader[Any], plain: Any | None
) -> None:
    """Look for validation images among all training images: by what the data sets hold, else by
    what they give where that is not augmented."""
    keys = sharing.stored_keys(train.dataset, val.dataset)
    if keys is None and plain is not None and not seen.sharing.moving:
        keys = _read_keys(train, val, plain)
    if keys is not None:
        found = sharing.leaked(*keys)
        seen.sharing.judged, seen.sharing.leaked = len(keys[1]), len(found)
        seen.sharing.leaked_names = [f"validation image {place}" for place in found[:_NAMED]]


def _read_keys(
    train: DataLoader[Any], val: DataLoader[Any], plain: Any
) -> tuple[list[Any], list[Any]] | None:
    if max(places_of(train), places_of(val)) > _ALL:
        return None
    ours = at_places(train, list(range(places_of(train))), dataset=plain)
    theirs = at_places(val, list(range(places_of(val))))
    if ours is None or theirs is None:
        return None
    return [sharing.digest(i) for i in ours.images], [sharing.digest(i) for i in theirs.images]
