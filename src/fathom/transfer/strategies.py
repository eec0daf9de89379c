"""The four ways to use, or not to use, pretrained weights, each as an ordinary recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from fathom.data.settings import AugmentSettings, DataSettings, NoCrop, ResizedCrop
from fathom.data.summary import Summary
from fathom.features.backbone import Backbone
from fathom.preprocess import Preprocess
from fathom.recipes.fitting import batch_of, mirrored
from fathom.recipes.registry import recipe as known
from fathom.training.choices import AdamW, CrossEntropy, OneCycle
from fathom.training.recipe import ModelSettings, Recipe

Strategy = Literal["probe", "partial", "finetune", "scratch"]

TRAINING_PER_LOOK = 4.5  # of a step for one image; EfficientNet-Lite0 takes 39 ms and 8.6 ms
# Below so many training images, or so many looks at them, batch norms keep the statistics of the
# pretraining: what they would learn anew costs more than it brings (docs/results/transfer.md).
FEW_IMAGES, FEW_LOOKS = 5_000, 50_000
# Below so many validation images they do not choose among epochs: of a schedule that has come down
# the last weights are better than those that so few images take for the best. Unless there is no
# time to come down, as below so many looks: then what it starts from may be better.
FEW_JUDGES, TOO_SHORT = 500, 1_000
_FEW_EPOCHS = 2.0  # below them there is nothing to choose among, and to judge the start costs steps
# Crops cost a network that sees each image a few times more than they bring. From so many passes
# on they are mild, and hard from as many as the second says (docs/results/transfer.md).
_CROPS_FROM, _HARD_FROM = 20, 60
# Steps from which on the learning rate is the whole one. With fewer it is as much less: a dozen at
# the whole rate leave a network far below where it started (docs/results/transfer.md).
_WHOLE_RATE = 100
_SIZES = (1.0, 6 / 7, 5 / 7, 4 / 7)  # of the weights' own image size; 4/7 of 224 are 128
_PASSES = 4.0  # over the training images that a size should leave time for, where they are trained


def probing(
    data: DataSettings,
    backbone: Backbone,
    summary: Summary,
    *,
    image_size: int,
    seed: int,
    device: str,
) -> Recipe:
    """What is written down of a probe: the network as it came, images as they are evaluated.

    The head is fitted in one go (`fathom.transfer.probe`); optimizer, schedule and length say only
    how it would be trained further.
    """
    return Recipe(
        name="probe",
        model=ModelSettings(backbone.name, backbone.spec, backbone.weights, trained_stages=0),
        data=data,
        image_size=image_size,
        augment=AugmentSettings(crop=NoCrop(), flip=False),
        optimizer=AdamW(),
        batch_size=batch_of(summary.num_train, 32),
        epochs=1,
        select="best",
        seed=seed,
        device=device,
    )


def tuning(
    probe: Recipe,
    summary: Summary,
    *,
    start: Path,
    minutes: float,
    passes: float,
    visits: float,
    num_val: int,
    has_norms: bool = True,
    stages: int | None = None,
) -> Recipe:
    """Fine-tune from a probe's weights: all of the network, or the last stages and the head.

    The head was fitted on frozen features first, so that its random start does not disturb them
    (Kumar et al. 2022, arXiv:2202.10054, Section 4). start is the probe's checkpoint; passes, those
    over the training images that the time allows, decide how hard the crops are; visits, images
    trained on in these minutes, what the learning rate is. num_val: images that may choose among
    epochs. has_norms: whether the network has batch norms to freeze.
    """
    looks = passes * summary.num_train
    frozen = has_norms and (summary.num_train < FEW_IMAGES or looks < FEW_LOOKS)
    batch_size = batch_of(summary.num_train, 32)
    share = min(1.0, visits / batch_size / _WHOLE_RATE)
    return replace(
        probe,
        name="finetune" if stages is None else "partial",
        model=replace(probe.model, weights=str(start), trained_stages=stages, frozen_norms=frozen),
        augment=AugmentSettings(crop=_crop(passes), flip=mirrored(summary)),
        optimizer=AdamW(lr=1e-3 * (batch_size / 32) ** 0.5 * share),
        schedule=OneCycle(peak=0.2),
        loss=CrossEntropy(label_smoothing=0.05),
        layer_decay=0.9 if stages is None else 1.0,
        clip_norm=1.0,
        batch_size=batch_size,
        epochs=None,
        minutes=minutes,
        select="best" if looks < TOO_SHORT else _selection(num_val, passes),
    )


def from_scratch(
    data: DataSettings,
    summary: Summary,
    *,
    minutes: float,
    num_val: int,
    seed: int,
    device: str,
    start: Path | None = None,
) -> Recipe:
    """The default recipe with fresh weights, or with those of a race of it that went before."""
    fresh = known("default", data, summary=summary)
    model = fresh.model if start is None else replace(fresh.model, weights=str(start))
    return replace(
        fresh,
        name="scratch",
        model=model,
        epochs=None,
        minutes=minutes,
        select="last" if num_val < FEW_JUDGES else "best",
        seed=seed,
        device=device,
    )


def _selection(num_val: int, passes: float) -> Literal["best", "last"]:
    """Whether validation images choose among epochs, of which there are about so many."""
    return "best" if num_val >= FEW_JUDGES and passes >= _FEW_EPOCHS else "last"


def _crop(passes: float) -> NoCrop | ResizedCrop:
    """How much of an image a network may see that sees each of them so many times."""
    if passes < _CROPS_FROM:
        return NoCrop()
    return ResizedCrop(min_area=0.35 if passes >= _HARD_FROM else 0.65)


def fitting_size(
    own: Preprocess,
    *,
    num_train: int,
    seconds: float,
    image_seconds: float,
    passes: float = _PASSES,
) -> int:
    """The image size to work at, in pixels: the largest that leaves time for so many passes.

    image_seconds is the time for one image at the weights' own size, of a training step where they
    are trained; it goes with the area. Smaller sizes than the weights' own are multiples of 32.
    Convolutional networks take other sizes than they were trained with, and adapt.
    """
    for share in _SIZES:
        size = own.image_size if share == 1 else int(own.image_size * share // 32) * 32
        if seconds >= passes * num_train * image_seconds * (size / own.image_size) ** 2:
            break
    return max(size, min(own.image_size, 32))
