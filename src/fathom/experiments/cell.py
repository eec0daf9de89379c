"""One cell of an experiment: an arm and a seed, its data, and its network once it is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor

from fathom.data.batches import Batch, evaluation_batches
from fathom.data.load import Dataset
from fathom.evaluate import Evaluation, evaluate
from fathom.experiments.nouns import Arm, Setting
from fathom.features.extract import first_of
from fathom.models.base import ImageClassifier
from fathom.runtime import Runtime
from fathom.training.setup import Setup

_BATCH = 256


@dataclass
class Cell:
    """What an experiment's `measure` and `watch` are given.

    load gives the data, as the arm's recipe sees them, or at their own size of at most 32 pixels.
    setup is that of the trained network, None for an arm without a recipe; log is for `watch` to
    gather values in, which `measure` may hand on.
    """

    arm: Arm
    seed: int
    setting: Setting
    load: Callable[[], Dataset]
    runtime: Runtime
    setup: Setup | None = None
    steps: int = 0
    log: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> Dataset:
        """The data, loaded when they are first asked for."""
        return self.load()

    @property
    def model(self) -> ImageClassifier:
        """The network: trained in `measure`, on its way in `watch`."""
        assert self.setup is not None, "this arm trains no network"
        return self.setup.model

    @property
    def judge(self) -> str:
        """The split that judges: test, or validation where there is no test."""
        return self.dataset.judge

    def evaluation(self, split: str | None = None) -> Evaluation:
        """The network on the images of a split as they are evaluated; by default those that judge.

        On "train" this is the error of training without augmentation and in evaluation mode.
        """
        split = split or self.judge
        return evaluate(
            self.model,
            self.batches(split),
            self.runtime,
            split=split,
            class_names=self.dataset.class_names,
        )

    def batches(
        self, split: str | None = None, *, images: int | None = None, batch_size: int = _BATCH
    ) -> Iterator[Batch]:
        """Batches of a split as it is evaluated: all of it, or its first images in a fixed order
        in which the classes take turns."""
        found = self.dataset.splits[split or self.judge]
        if images is not None:
            found = first_of(found, images)
        return iter(
            evaluation_batches(
                found,
                self.dataset.preprocess,
                batch_size=batch_size,
                runtime=self.runtime,
                workers=0,
            )
        )

    @cached_property
    def probe_images(self) -> Tensor:
        """128 training images as the network sees them, the same for every arm and seed."""
        return next(self.batches("train", images=128, batch_size=128)).images


def fewer(dataset: Dataset, count: int | None) -> Dataset:
    """The data with so many training images, as many of every class."""
    if count is None:
        return dataset
    train = first_of(dataset.splits["train"], count)
    return replace(dataset, splits={**dataset.splits, "train": train})
