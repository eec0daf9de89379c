"""The recipe that networks are compared under, unless the recipe itself is what is compared."""

from __future__ import annotations

from typing import Any

from fathom.data.settings import AugmentSettings, NoCrop
from fathom.experiments.nouns import Setting
from fathom.recipes.fitting import batch_of, mirrored
from fathom.training.choices import SGD, OneCycle
from fathom.training.recipe import ModelSettings, Recipe

_LARGEST, _LEAST = 32, 8  # pixels
_BATCH = 32  # where time is short many steps serve better than smooth gradients


def small_size(setting: Setting) -> int:
    """The images' own size, at most 32 pixels."""
    return max(_LEAST, min(setting.summary.width, setting.summary.height, _LARGEST))


def comparing(
    setting: Setting,
    network: str,
    *,
    spec: dict[str, Any] | None = None,
    image_size: int | None = None,
    lr: float = 0.1,
    batch_size: int | None = None,
) -> Recipe:
    """SGD with momentum 0.9 and weight decay 0.0001, one cycle, no augmentation but the mirror.

    The optimizer is that of He et al. 2015 (arXiv:1512.03385, Section 4.2), but in batches of 32 at
    most; the schedule is one cycle. Both because runs are short. Without crops the training error
    is that of the very images that trained. lr is for batches of 128 and scaled to smaller ones.
    The session sets length and seed.
    """
    batch = batch_size or batch_of(setting.summary.num_train, _BATCH)
    return Recipe(
        name="experiment",
        model=ModelSettings(network, spec or {}),
        data=setting.data,
        image_size=image_size or small_size(setting),
        augment=AugmentSettings(crop=NoCrop(), flip=mirrored(setting.summary)),
        optimizer=SGD(lr=lr * batch / 128, momentum=0.9, nesterov=False, weight_decay=1e-4),
        schedule=OneCycle(peak=0.2),
        batch_size=batch,
        epochs=1,
        device=setting.device,
    )
