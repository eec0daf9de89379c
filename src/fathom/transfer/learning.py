"""Accuracy against images per class for every strategy: `fathom transfer --curve`.

Every strategy is given the same time at every size of the data: an eighth, a quarter, a half and
all of each class. The parts are nested, and all are judged on the same validation images.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from fathom.data.load import Dataset, Split
from fathom.errors import require
from fathom.training.reports import Finished
from fathom.training.run import write_json
from fathom.training.session import train
from fathom.training.setup import load_data
from fathom.transfer.curves import LearningCurve, Point, fit_curve
from fathom.transfer.plan import Plan
from fathom.transfer.probe import Probe, fit_probe
from fathom.transfer.probe_run import checkpoint_of, write_probe
from fathom.transfer.race import batch_for, for_race, nested
from fathom.transfer.session import TRAINED, Ground, Record, Transfer
from fathom.transfer.strategies import TOO_SHORT, TRAINING_PER_LOOK, Strategy

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
_FEWEST = 16  # training images of a class
_LEAST = 1.0  # seconds of a run, where computing features has taken all the time
_AHEAD = (2, 4, 10)  # times the images at which the bands are told


@dataclass(frozen=True)
class Learnt:
    """One strategy at one size: images a class, and its accuracy on validation images."""

    strategy: Strategy
    point: Point
    seconds: float


@dataclass(frozen=True)
class Curves:
    """The learning curve of each strategy; seconds that each had at each size, weights and data."""

    folder: Path
    curves: Mapping[Strategy, LearningCurve]
    seconds: float
    weights: str
    data: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = {}
        for strategy, curve in self.curves.items():
            sizes = sorted({p.images for p in curve.points} | {curve.images * n for n in _AHEAD})
            found[strategy] = curve.to_dict(sizes)
        return {
            "weights": self.weights,
            "data": self.data,
            "seconds": self.seconds,
            "curves": found,
            "sentences": list(self.sentences()),
        }

    def sentences(self) -> tuple[str, ...]:
        """Which strategy leads now and with ten times the images, and what more labels buy."""
        now = {name: curve.at(curve.images)[1] for name, curve in self.curves.items()}
        best = max(now, key=lambda name: now[name])
        told = [f"With the images there are, {best} is the best, at {now[best]:.1%}."]
        if all(curve.extrapolates for curve in self.curves.values()):
            ahead = {n: c.at(10 * c.images) for n, c in self.curves.items()}
            first = max(ahead, key=lambda name: ahead[name][1])
            low, middle, high = ahead[first]
            told.append(
                f"With ten times as many it would be {first}, at {middle:.1%} ({low:.1%} to "
                f"{high:.1%})."
            )
        labels = self.curves[best].labels_for()
        if labels.more is None:
            told.append(f"One more point of accuracy: {labels.why}.")
        else:
            least = labels.more if labels.low is None else labels.low
            most = "no bound" if labels.high is None else f"{labels.high:,}"
            told.append(
                f"One more point of accuracy would take about {labels.more:,} further images a "
                f"class ({least:,} to {most})."
            )
        return tuple(told)


def learning_curves(
    plan: Plan, *, out: str | Path | None = None, started: float | None = None
) -> Generator[Record | Learnt | Curves, None, None]:
    """Measure every strategy on nested parts of the training images; the last record is `Curves`.

    Raises UserError for what `transfer` refuses, and for classes of fewer than 16 training images,
    of which an eighth is too little to learn from.
    """
    work = Transfer.of(plan, "curve", out, started)
    work.deciding = False
    counts = Counter(work.chosen.catalog.splits["train"].targets)
    require(
        min(counts.values()) >= _FEWEST,
        f"a class has {min(counts.values())} training images; a learning curve starts at an eighth "
        f"of each class and needs {_FEWEST} or more",
    )
    ground = yield from work.surveys()
    fresh = load_data(work.fresh(_LEAST), None, chosen=work.chosen)
    seconds = max(_LEAST, work.left() / (len(TRAINED) * len(_SHARES)))
    points: dict[Strategy, list[Point]] = {}
    for share in _SHARES:
        for learnt in _at(work, ground, fresh, share, seconds):
            points.setdefault(learnt.strategy, []).append(learnt.point)
            yield learnt
    curves = {strategy: fit_curve(found) for strategy, found in points.items()}
    label, name = ground.survey.backbone.label, work.chosen.catalog.name
    result = Curves(work.folder, curves, seconds, label, name)
    write_json(work.folder / "curve.json", result.to_dict())
    yield result


def _at(
    work: Transfer, ground: Ground, fresh: Dataset, share: float, seconds: float
) -> Generator[Learnt, None, None]:
    """Every strategy on a share of each class; fresh are the data as fresh weights see them."""
    plan, classes = work.plan, ground.survey.num_classes
    part = _part(for_race(ground.dataset, plan.seed), share, plan.seed)
    count = len(part.splits["train"].images) / classes
    began = time.monotonic()
    probe, seen = _probe(ground, part, plan.seed)
    place = work.folder / f"{share:g}"
    done = write_probe(place / "probe", ground.recipe, part, probe, started=began)
    yield _learnt("probe", done, seen / classes, time.monotonic() - began)
    start = checkpoint_of(place / "probe")
    # What judges the points chooses none of their epochs; but what so short a run starts from may
    # be better than its end.
    short = TOO_SHORT * TRAINING_PER_LOOK * ground.survey.image_seconds
    for strategy in TRAINED:
        if strategy == "scratch":
            data = _part(for_race(fresh, plan.seed), share, plan.seed)
            recipe = work.fresh(seconds)
        else:
            data = part
            own = replace(ground, dataset=part)
            recipe = work.tuning(own, strategy, start, seconds, total=seconds)
        if strategy == "scratch" or seconds >= short:
            recipe = replace(recipe, select="last")
        recipe = replace(recipe, batch_size=batch_for(recipe, data))
        end = list(train(recipe, out=place / strategy, dataset=data))[-1]
        assert isinstance(end, Finished)
        yield _learnt(strategy, end, count, seconds)


def _probe(ground: Ground, part: Dataset, seed: int) -> tuple[Probe, int]:
    """A probe of those images of a part that there was time to look at, and how many they are."""
    found, keys = ground.survey.train, set(part.splits["train"].images.keys)
    own = ground.dataset.splits["train"].images.keys
    inside = [i for i, p in enumerate(found.positions.tolist()) if own[p] in keys]
    groups = found.positions[inside]
    missing = ground.survey.num_classes - len(torch.unique(found.targets[inside]))
    require(
        missing == 0,
        f"the time allowed to look at {found.num_images:,} training images, and of an eighth of "
        f"each class that leaves none of {missing} classes; give more --minutes",
    )
    probe = fit_probe(
        found.values[inside],
        found.targets[inside],
        num_classes=ground.survey.num_classes,
        seed=seed,
        groups=groups,
    )
    return probe, len(torch.unique(groups))


def _learnt(strategy: Strategy, done: Finished, images: float, seconds: float) -> Learnt:
    found = done.evaluation
    count = found.num_images
    return Learnt(strategy, Point(images, round(found.top1 * count) / count, count), seconds)


def _part(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data with a share of the training images of each class; smaller shares lie in larger."""
    if share == 1:
        return dataset
    split = dataset.splits["train"]
    chosen = nested(split.targets, share, seed).tolist()
    views = None if split.views is None else split.views[chosen]
    splits = {**dataset.splits, "train": Split(split.images.take(chosen), views)}
    return replace(dataset, splits=splits)
