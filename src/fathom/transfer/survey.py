"""What one pretrained network makes of the user's images, before anything of it is trained."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fathom.data.decode import BadImageError
from fathom.data.load import BadImage, Dataset
from fathom.data.views import centre_view
from fathom.errors import require
from fathom.evaluate import wilson
from fathom.features.backbone import Backbone
from fathom.features.cache import Cache, cached
from fathom.features.extract import Features, Looks, balanced_order, gather
from fathom.features.fold import folded
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime, configured
from fathom.transfer.curves import LearningCurve, fit_curve, probe_curve
from fathom.transfer.fits import check_fit
from fathom.transfer.nearest import fit_means, fit_neighbours
from fathom.transfer.probe import Probe, fit_probe
from fathom.transfer.similarity import Domain, measure_domain, norm_statistics

_CHECKED = 128  # images of which it is asked whether they fit the weights
_COMPARED = 64  # of them, those whose statistics are compared with the pretraining's
_TIMED = 16  # images of a look that is timed
_MIRRORED_BELOW = 0.4  # of the time for features: mirror images come in where they take no more


@dataclass(frozen=True)
class Survey:
    """Features of training and validation images, the probe, and what else they tell.

    image_seconds: a look at one image, seconds of them all. neighbours, means: accuracy by leaving
    one out; they and the learning curve of the probe are None where no class has two images, the
    curve also where nothing is decided by it.
    unseen: training images that the time did not allow to look at. bad: images left out. notes:
    what had to be assumed about the weights, and what is to be known of the data.
    """

    backbone: Backbone
    train: Features
    val: Features
    num_classes: int
    probe: Probe
    neighbours: float | None
    means: float | None
    learning: LearningCurve | None
    domain: Domain | None
    image_size: int
    image_seconds: float
    seconds: float
    unseen: int
    bad: tuple[BadImage, ...]
    notes: tuple[str, ...]

    @property
    def top1(self) -> float:
        """The accuracy of probes on images that they had not seen."""
        right, count = self._judged()
        return right / count

    def _judged(self) -> tuple[int, int]:
        """Images named right by probes that had not seen them, and how many there were."""
        scored = self.probe.held_out.argmax(1) == self.train.targets[self.probe.scored]
        val = self._val_right()
        return int(scored.sum() + val.sum()), len(scored) + len(val)

    def _val_right(self) -> Tensor:
        return self.probe.logits(self.val.values).argmax(1) == self.val.targets

    def final_probe(self, *, with_val: bool, seed: int) -> Probe:
        """The probe to keep, of the same strength; validation images join in where another split
        judges."""
        if not with_val:
            return self.probe
        return fit_probe(
            torch.cat((self.train.values, self.val.values)),
            torch.cat((self.train.targets, self.val.targets)),
            num_classes=self.num_classes,
            seed=seed,
            groups=torch.cat((self.train.positions, -1 - self.val.positions)),
            strengths=(self.probe.strength,),
        )

    def sentences(self) -> Iterator[str]:
        """What was found, for people."""
        right, count = self._judged()
        low, high = wilson(right, count)
        yield (
            f"{self.backbone.label} at {self.image_size} pixels: features of "
            f"{self.train.num_images + self.val.num_images:,} images in {self.seconds:.0f} s"
        )
        if self.unseen:
            yield f"note: the time did not allow to look at {self.unseen:,} training images"
        others = [
            f"{name} {value:.1%}"
            for name, value in (
                ("nearest neighbours", self.neighbours),
                ("class means", self.means),
            )
            if value is not None
        ]
        beside = f"; {', '.join(others)}" if others else ""
        yield (
            f"probe: {right / count:.1%} of {count:,} images it had not seen ({low:.1%} to "
            f"{high:.1%}){beside}"
        )


@dataclass(frozen=True)
class Asked:
    """How to look.

    deadline, of `time.monotonic()`: no images are looked at after it, but for the first of every
    class. flip: mirror images are looked at, too, where the time allows it. trust_images: it is not
    asked whether the images fit the weights. deciding: what a decision wants besides is measured,
    how near the images are to those of the pretraining, and the learning curve of the probe. cache:
    features are taken from, and kept in, the user's cache folder. workers: processes that decode.
    """

    seed: int
    deadline: float
    flip: bool
    trust_images: bool = False
    deciding: bool = False
    cache: bool = True
    workers: int | str = "auto"


def survey_of(
    backbone: Backbone,
    model: ImageClassifier,
    dataset: Dataset,
    asked: Asked,
    *,
    runtime: Runtime,
) -> Survey:
    """Look at the validation images and at as many training images as there is time for.

    Raises UserError for images that do not fit the weights, and where the time is too short to see
    every class.
    """
    began, classes, view = time.monotonic(), len(dataset.class_names), dataset.preprocess
    with configured(runtime):
        sample, model = _sample(dataset, asked.seed).to(runtime.device), model.to(runtime.device)
        if not asked.trust_images:
            check_fit(model, sample, preprocess=view).refuse()
        image_seconds = look_seconds(model, view, runtime)
        train, val = _features(model, dataset, asked, runtime, image_seconds=image_seconds)
        rows: dict[str, Any] = {
            "values": train.values,
            "targets": train.targets,
            "groups": train.positions,
            "num_classes": classes,
        }
        probe = fit_probe(**rows, seed=asked.seed)
        neighbours = fit_neighbours(**rows, seed=asked.seed)
        points = probe_curve(**rows, seed=asked.seed, probe=probe) if asked.deciding else ()
        return Survey(
            backbone=backbone,
            train=train,
            val=val,
            num_classes=classes,
            probe=probe,
            neighbours=neighbours.top1.get(neighbours.k),
            means=fit_means(**rows).top1,
            learning=fit_curve(points) if points else None,
            domain=_domain(model, sample, train, view, asked.seed) if asked.deciding else None,
            image_size=view.image_size,
            image_seconds=image_seconds,
            seconds=time.monotonic() - began,
            unseen=len(dataset.splits["train"].images) - train.num_images - len(train.bad),
            bad=(*dataset.bad, *train.bad, *val.bad),
            notes=tuple(note for note in (backbone.found().note, *dataset.notes) if note),
        )


def _features(
    model: ImageClassifier,
    dataset: Dataset,
    asked: Asked,
    runtime: Runtime,
    *,
    image_seconds: float,
) -> tuple[Features, Features]:
    """Of training and of validation images, which take a third of the time at most."""
    classes, now = len(dataset.class_names), time.monotonic()
    time_left = asked.deadline - now
    wanted = len(dataset.splits["train"].images) * image_seconds
    twice = asked.flip and wanted < _MIRRORED_BELOW * time_left
    found = {}
    for role, views, end in (
        ("val", 1, now + time_left / 3),
        ("train", 2 if twice else 1, asked.deadline),
    ):
        looks = Looks(views, asked.flip, asked.deciding, asked.deciding, asked.seed)
        stream = cached(
            model,
            dataset.splits[role],
            dataset.preprocess,
            looks,
            runtime=runtime,
            cache=Cache() if asked.cache else None,
            role=role,
            workers=asked.workers,
        )
        with closing(stream) as parts:
            found[role] = gather(list(_until(parts, end, classes)))
    missing = classes - len(torch.unique(found["train"].targets))
    require(
        missing == 0,
        f"the time allowed to look at {found['train'].num_images} training images, and {missing} "
        f"of {classes} classes are not among them; give more --minutes",
    )
    return found["train"], found["val"]


def _domain(
    model: ImageClassifier, sample: Tensor, train: Features, view: Preprocess, seed: int
) -> Domain:
    first = slice(train.num_images)  # one view of every image
    return measure_domain(
        train.values[first],
        train.targets[first],
        stages=tuple(stage[first] for stage in train.stages),
        logits=None if train.logits is None else train.logits[first],
        norms=norm_statistics(model, map(view.normalise, torch.split(sample[:_COMPARED], _TIMED))),
        seed=seed,
    )


def _sample(dataset: Dataset, seed: int) -> Tensor:
    """(N, C, S, S) uint8 evaluation views of some training images of every class."""
    split, view = dataset.splits["train"], dataset.preprocess
    positions = balanced_order(split.images.targets, seed)[:_CHECKED].tolist()
    if split.views is not None:
        return split.views[positions]
    views = []
    for position in positions:
        with suppress(BadImageError):  # named when its features are wanted
            pixels = split.images.source.pixels(split.images.keys[position], view.channels)
            views.append(centre_view(pixels, view.image_size, view.resize, view.interpolation))
    require(bool(views), f"none of {len(positions)} sampled training images is readable")
    return torch.stack(views)


def _until(parts: Iterator[Features], deadline: float, least: int) -> Iterator[Features]:
    """The parts before the deadline, and in any case as many as hold so many images."""
    images = 0
    for part in parts:
        yield part
        images += part.num_images
        if time.monotonic() > deadline and images >= least:
            return


def look_seconds(model: ImageClassifier, view: Preprocess, runtime: Runtime) -> float:
    """Seconds that a folded network takes for one image of a small batch; the better of two."""
    network = folded(model).to(runtime.device).to(memory_format=torch.channels_last)
    shape = (_TIMED, view.channels, view.image_size, view.image_size)
    images = view.normalise(torch.zeros(shape, dtype=torch.uint8, device=runtime.device))
    taken = []
    with torch.inference_mode():
        for _ in range(3):
            before = time.perf_counter()
            float(network(images).sum())  # waits for the device
            taken.append(time.perf_counter() - before)
    return min(taken[1:]) / _TIMED
