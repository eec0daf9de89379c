"""The networks behind a verdict: three that never see an augmentation, and one that is trained on
it, where the three leave the verdict open.

They are small, and trained by the same trainer as everything else, on views of at most 64 pixels.
Data without a split are halved: the verdict needs images to look at more than the networks need to
be good. The three serve for all augmentations that are checked, save those that move the picture.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from fathom.data.batches import Batch, TrainingBatches, evaluation_batches
from fathom.data.catalog import ImageList, open_catalog
from fathom.data.load import BadImage, Dataset, Split, load_dataset
from fathom.data.settings import AugmentSettings, DataSettings
from fathom.data.sources import Arrays
from fathom.data.split import SplitCatalog, split_catalog
from fathom.errors import require
from fathom.evaluate import run_model
from fathom.keeps.judge import Outcome, judge
from fathom.keeps.names import PLAIN, Augmentation, View, find
from fathom.models.base import ImageClassifier
from fathom.models.registry import build_model
from fathom.runtime import Runtime, choose_runtime, configured, derive_seed, generator
from fathom.training.choices import SGD, CrossEntropy, OneCycle
from fathom.training.describe import describe
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.run import Run
from fathom.training.setup import Setup
from fathom.training.trainer import Trainer

NETWORKS = 3  # that do not know an augmentation
DEFAULTS = ("vertical-flip", "horizontal-flip", "shift")

_LARGEST = 64  # pixels of a view
_MOST = {"train": 20_000, "held out": 5_000}  # images, or _EACH of every class where that is more
_EACH = 50
_STEPS = 300, 1500  # least and most of a network, where no time is given
_CHUNK = 500  # images that are looked at together
_DRAWS = 8  # of an augmentation until an image comes out changed
_WATCHED = 64  # images that the trainer looks at between epochs; the verdict looks at all


@dataclass(frozen=True)
class Trained:
    """One network more: its number of at most so many, what it was trained on, its steps and
    seconds, and the share of held-out images that it names right as they are."""

    number: int
    most: int
    what: str
    steps: int
    seconds: float
    top1: float


@dataclass(frozen=True)
class Check:
    """What was measured, on which data, with which networks; outcomes in the order asked for.

    steps are those of all networks together; bad names the files left out.
    """

    data: str
    seed: int
    image_size: int
    num_train: int
    num_held_out: int
    networks: int
    steps: int
    seconds: float
    bad: tuple[BadImage, ...]
    outcomes: tuple[Outcome, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        bad = [asdict(image) for image in self.bad]
        outcomes = [outcome.to_dict() for outcome in self.outcomes]
        return {**vars(self), "bad": bad, "outcomes": outcomes}


def check(
    data: str | DataSettings,
    augmentations: Sequence[str] = DEFAULTS,
    *,
    minutes: float | None = None,
    seed: int = 0,
) -> Iterator[Trained | Outcome | Check]:
    """Train, judge, and report: each network, then each verdict as soon as it is there, then all.

    Args:
        data: as for `fathom.recipe`.
        augmentations: names, each with a strength after a colon where it is wanted: `shift:3`.
        minutes: time for everything, on a machine of steady speed: the first network has its part
            of it, the others as many steps. Without it every network has the steps of 16 passes
            over the images, but at least 300 and at most 1500, and the same seed gives the same
            figures.
        seed: everything random follows from it.

    Raises UserError for unknown augmentations and for data that cannot be used.
    """
    begun = time.monotonic()
    require(minutes is None or minutes > 0, f"minutes is {minutes}; it must be above 0")
    asked = _asked(augmentations)
    settings = DataSettings(source=data) if isinstance(data, str) else data
    runtime = choose_runtime()
    dataset = _load(settings, seed)
    view = View(dataset.preprocess.image_size, dataset.preprocess.channels)
    most = len(asked) + NETWORKS * len({a.without(view) for a in asked})
    with configured(runtime), TemporaryDirectory(prefix="fathom-augment-") as folder:
        bench = _Bench(dataset, runtime, view, seed, Path(folder), most)
        if minutes is not None:
            bench.minutes = max(0.01, (minutes - (time.monotonic() - begun) / 60) / most)
        for augmentation in asked:
            bench.check(augmentation)
        outcomes = []
        for augmentation in asked:
            yield from bench.prepare(augmentation)
            outcome = bench.judge(augmentation, None)
            if outcome.verdict == "cannot tell":
                model, trained = bench.train(augmentation.text, augmentation.included(view))
                yield trained
                outcome = bench.judge(augmentation, model)
            outcomes.append(outcome)
            yield outcome
    yield Check(
        data=dataset.name,
        seed=seed,
        image_size=view.image_size,
        num_train=len(dataset.splits["train"].images),
        num_held_out=len(dataset.splits[dataset.judge].images),
        networks=bench.number,
        steps=bench.steps,
        seconds=time.monotonic() - begun,
        bad=dataset.bad,
        outcomes=tuple(outcomes),
    )


def _asked(names: Sequence[str]) -> list[Augmentation]:
    """Augmentations by their names, each once."""
    require(bool(names), "no augmentation to check; name one, as in vertical-flip")
    asked = [find(name) for name in names]
    twice = [text for text, n in Counter(a.text for a in asked).items() if n > 1]
    require(not twice, f"{', '.join(twice)} is asked for twice; name it once")
    return asked


@dataclass
class _Bench:
    """Where networks are trained and compared, one after the other.

    most is the largest number of networks; minutes are those of the first, whose steps the others
    take. without holds the networks trained on each ground that augmentations are added to.
    """

    dataset: Dataset
    runtime: Runtime
    view: View
    seed: int
    folder: Path
    most: int
    minutes: float | None = None
    number: int = 0
    steps: int = 0
    without: dict[AugmentSettings, list[ImageClassifier]] = field(default_factory=dict)

    @property
    def held_out(self) -> Split:
        """The images that verdicts are about."""
        return self.dataset.splits[self.dataset.judge]

    def check(self, augmentation: Augmentation) -> None:
        """Raise UserError for what these images do not allow, before anything is trained."""
        self._batches(self.held_out, augmentation.alone(self.view), 1, self.seed)

    def prepare(self, augmentation: Augmentation) -> Iterator[Trained]:
        """Train the networks that are not to know an augmentation, unless they are there."""
        ground = augmentation.without(self.view)
        if ground in self.without:
            return
        what = "images as they are" if ground == PLAIN else "images slightly shifted"
        models = self.without[ground] = []
        for number in range(1, NETWORKS + 1):
            model, trained = self.train(f"{what}, {number} of {NETWORKS}", ground)
            models.append(model)
            yield trained

    def train(self, what: str, augment: AugmentSettings) -> tuple[ImageClassifier, Trained]:
        """One network; its seed follows from the name of what it is trained on."""
        begun = time.monotonic()
        recipe = self._recipe(augment, derive_seed(self.seed, "network", what))
        setup = self._setup(recipe, augment)
        run = Run.create(self.folder / str(self.number), recipe, None)
        describe(run, setup)
        trainer = Trainer(run, setup, save_seconds=math.inf, started=begun)
        for _ in trainer.reports():
            pass
        self.number += 1
        self.steps += trainer.state.step
        right = self._read([setup.model])[0].argmax(1) == self.held_out.targets
        return setup.model, Trained(
            number=self.number,
            most=self.most,
            what=what,
            steps=trainer.state.step,
            seconds=time.monotonic() - begun,
            top1=float(right.double().mean()),
        )

    def judge(self, augmentation: Augmentation, learnt: ImageClassifier | None) -> Outcome:
        """The verdict on one augmentation, from what networks name; learnt was trained with it."""
        without = self.without[augmentation.without(self.view)]
        augment = augmentation.alone(self.view)
        return judge(
            augmentation.text,
            plain=self._read(without),
            unseen=self._read(without, augment),
            learnt=None if learnt is None else self._read([learnt], augment)[0],
            targets=self.held_out.targets,
            class_names=self.dataset.class_names,
        )

    def _recipe(self, augment: AugmentSettings, seed: int) -> Recipe:
        count = len(self.dataset.splits["train"].images)
        batch_size = max(2, min(64, count))
        steps: int | None = min(max(_STEPS[0], 16 * count // batch_size), _STEPS[1])
        if self.minutes is not None:  # by the clock for the first; as long for the others
            steps = self.steps // self.number if self.number else None
        return Recipe(
            name="augment-check",
            model=ModelSettings("cifar_resnet20", {"depths": (1, 1, 1)}),
            data=DataSettings(),
            image_size=self.dataset.preprocess.image_size,
            augment=augment,
            optimizer=SGD(lr=0.1),
            schedule=OneCycle(peak=0.2),
            loss=CrossEntropy(label_smoothing=0.05),
            batch_size=batch_size,
            epochs=None,
            minutes=self.minutes if steps is None else None,
            steps=steps,
            clip_norm=5.0,
            seed=seed,
        )

    def _setup(self, recipe: Recipe, augment: AugmentSettings) -> Setup:
        """A run on the images in memory, instead of reading them again for every network."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(recipe.seed, "init"))
            model = build_model(
                recipe.model.name,
                num_classes=len(self.dataset.class_names),
                in_channels=self.dataset.preprocess.channels,
                **recipe.model.spec,
            )
        model = model.to(self.runtime.device).to(memory_format=torch.channels_last)
        every = max(1, len(self.held_out.images) // _WATCHED)
        few = _part(self.held_out, range(0, len(self.held_out.images), every))
        train = self.dataset.splits["train"]
        return Setup(
            recipe=recipe,
            runtime=self.runtime,
            dataset=replace(self.dataset, splits={"train": train, self.dataset.judge: few}),
            batches=self._batches(train, augment, recipe.batch_size, recipe.seed),
            model=model.train(),
            weights=None,
            class_weights=None,
        )

    def _batches(
        self, split: Split, augment: AugmentSettings, batch_size: int, seed: int
    ) -> TrainingBatches:
        """Batches of a split exactly as training would see them."""
        return TrainingBatches(
            replace(self.dataset, splits={"train": split}),
            augment,
            batch_size=batch_size,
            seed=seed,
            runtime=self.runtime,
            workers=0,
        )

    def _read(
        self, models: Sequence[ImageClassifier], augment: AugmentSettings | None = None
    ) -> Tensor:
        """(M, N, K) logits of M networks for the held-out images, as they are or augmented."""
        count, parts = len(self.held_out.images), []
        for first in range(0, count, _CHUNK):
            split = _part(self.held_out, range(first, min(first + _CHUNK, count)))
            (batch,) = evaluation_batches(
                split,
                self.dataset.preprocess,
                batch_size=len(split.images),
                runtime=self.runtime,
                workers=0,
            )
            if augment is not None:
                batch = self._augmented(split, batch, augment, first)
            parts.append(torch.stack([run_model(m, [batch], self.runtime)[0] for m in models]))
        return torch.cat(parts, 1)

    def _augmented(self, split: Split, plain: Batch, augment: AugmentSettings, first: int) -> Batch:
        """The same images, augmented; drawn again where nothing happened."""
        seed = derive_seed(self.seed, "held out", first)
        batches = self._batches(split, augment, len(split.images), seed).start(0)
        images = plain.images.clone()
        same = torch.ones(len(images), dtype=torch.bool, device=images.device)
        for _, batch in zip(range(_DRAWS), batches, strict=False):
            drawn = batch.images[batch.positions.argsort()]
            images[same] = drawn[same]
            same &= (images == plain.images).flatten(1).all(1)
        return replace(plain, images=images)


def _load(settings: DataSettings, seed: int) -> Dataset:
    """Small views of training and held-out images in memory, of as many as are needed."""
    catalog = open_catalog(settings)
    if "all" in catalog.splits and settings.val_fraction is None:
        settings = replace(settings, val_fraction=0.5, seed=seed)
    chosen = split_catalog(catalog, settings, choosing=False)
    roles = {"train": _MOST["train"], chosen.judge: _MOST["held out"]}
    count = len(catalog.class_names)
    splits = {
        role: _some(chosen.catalog.splits[role], max(most, _EACH * count), seed)
        for role, most in roles.items()
    }
    summary = catalog.summary()
    dataset = load_dataset(
        SplitCatalog(replace(chosen.catalog, splits=splits), chosen.origins),
        replace(settings, cache="memory"),
        PLAIN,
        image_size=max(8, min(summary.width, summary.height, _LARGEST)),
        channels=summary.channels,
    )
    return replace(dataset, splits={r: _in_memory(s) for r, s in dataset.splits.items()})


def _some(images: ImageList, most: int, seed: int) -> ImageList:
    """About so many images at most, by seed, of every class the same share, at least one."""
    if len(images) <= most:
        return images
    counts = Counter(images.targets)
    left = {label: math.ceil(n * most / len(images)) for label, n in counts.items()}
    kept = []
    order = torch.randperm(len(images), generator=generator(seed, "some")).tolist()
    for place in order:
        label = images.targets[place]
        if left[label]:
            left[label] -= 1
            kept.append(place)
    return images.take(sorted(kept))


def _in_memory(split: Split) -> Split:
    """The same images, with their views in place of their files."""
    assert split.views is not None, "cache=memory keeps all views"
    pixels = split.views.permute(0, 2, 3, 1).contiguous().numpy()
    keys = tuple(map(str, range(len(split.images))))
    return Split(ImageList(Arrays(pixels), keys, split.images.targets), split.views)


def _part(split: Split, places: Sequence[int]) -> Split:
    """Some images of a split in memory."""
    assert split.views is not None, "cache=memory keeps all views"
    return Split(split.images.take(places), split.views[list(places)])
