"""Accuracy against images per class for every strategy: `fathom transfer --curve`.

Every strategy is given the same time at every size of the data: an eighth, a quarter, a half and
all of each class. The parts are nested, and all are judged on the same validation images.
"""

from __future__ import annotations

import time
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
from fathom.transfer.probe import fit_probe
from fathom.transfer.probe_run import checkpoint_of, write_probe
from fathom.transfer.race import for_race, nested
from fathom.transfer.session import TRAINED, Ground, Record, Transfer
from fathom.transfer.strategies import Strategy

_SHARES = (1 / 8, 1 / 4, 1 / 2, 1.0)
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
    ground = yield from work.surveys()
    counts = ground.dataset.counts("train")
    require(
        min(counts) >= 16,
        f"a class has {min(counts)} training images; a learning curve starts at an eighth of each "
        "class and needs 16 or more",
    )
    seconds = max(_LEAST, work.left() / (len(TRAINED) * len(_SHARES)))
    points: dict[Strategy, list[Point]] = {}
    for share in _SHARES:
        for learnt in _at(work, ground, share, seconds):
            points.setdefault(learnt.strategy, []).append(learnt.point)
            yield learnt
    curves = {strategy: fit_curve(found) for strategy, found in points.items()}
    label, name = ground.survey.backbone.label, work.chosen.catalog.name
    result = Curves(work.folder, curves, seconds, label, name)
    write_json(work.folder / "curve.json", result.to_dict())
    yield result


def _at(
    work: Transfer, ground: Ground, share: float, seconds: float
) -> Generator[Learnt, None, None]:
    """Every strategy on a share of each class."""
    plan, found = work.plan, ground.survey
    judged = for_race(ground.dataset, plan.seed)
    part = judged if share == 1 else _part(judged, share, plan.seed)
    keys = set(part.splits["train"].images.keys)
    own = ground.dataset.splits["train"].images.keys
    rows = torch.tensor([i for i, p in enumerate(found.train.positions.tolist()) if own[p] in keys])
    images = len(keys) / found.num_classes

    def learnt(strategy: Strategy, right: int, count: int, took: float) -> Learnt:
        return Learnt(strategy, Point(images, right / count, count), took)

    began = time.monotonic()
    probe = fit_probe(
        found.train.values[rows],
        found.train.targets[rows],
        num_classes=found.num_classes,
        seed=plan.seed,
        groups=found.train.positions[rows],
    )
    place = work.folder / f"{share:g}"
    done = write_probe(place / "probe", ground.recipe, part, probe, started=began)
    yield learnt("probe", *_right(done), time.monotonic() - began)
    for strategy in TRAINED:
        if strategy == "scratch":
            recipe = work.fresh(seconds)
            whole = for_race(load_data(recipe, None, chosen=work.chosen), plan.seed)
            data = whole if share == 1 else _part(whole, share, plan.seed)
            recipe = replace(recipe, batch_size=_batch(recipe.batch_size, data))
        else:
            recipe = work.tuning(ground, strategy, checkpoint_of(place / "probe"), seconds)
            recipe = replace(recipe, batch_size=_batch(recipe.batch_size, part))
            data = part
        end = list(train(recipe, out=place / strategy, dataset=data))[-1]
        assert isinstance(end, Finished)
        yield learnt(strategy, *_right(end), seconds)


def _right(done: Finished) -> tuple[int, int]:
    found = done.evaluation
    return round(found.top1 * found.num_images), found.num_images


def _batch(size: int, dataset: Dataset) -> int:
    return min(size, len(dataset.splits["train"].images))


def _part(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The data with a share of the training images of each class; smaller shares lie in larger."""
    split = dataset.splits["train"]
    chosen = nested(split.targets, share, seed).tolist()
    views = None if split.views is None else split.views[chosen]
    splits = {**dataset.splits, "train": Split(split.images.take(chosen), views)}
    return replace(dataset, splits=splits)
