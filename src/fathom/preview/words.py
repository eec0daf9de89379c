"""What is random about a training image, and what was drawn for one, in words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fathom.data.batches import Drawn
from fathom.data.decode import Pixels
from fathom.data.settings import (
    AugmentSettings,
    CutMix,
    Mixup,
    MixupOrCutMix,
    PadCrop,
    RandAugment,
    ResizedCrop,
    ScaleCrop,
)

_FILLS = {"mean": "filled with the mean", "black": "filled black", "reflect": "edges reflected"}


def what_is_random(augment: AugmentSettings) -> tuple[str, ...]:
    """A phrase for each thing that differs between two looks at an image, in their order."""
    phrases = (*_crop(augment), *_flips(augment), *_colours(augment), *_boxes(augment))
    mixed = phrases if augment.mix is None else (*phrases, _mix(augment.mix))
    return mixed or ("nothing: training sees the view that is evaluated",)


def _crop(augment: AugmentSettings) -> Iterator[str]:
    crop, policy = augment.crop, augment.policy
    if isinstance(crop, PadCrop):
        plural = "" if crop.padding == 1 else "s"
        yield f"shifted by up to {crop.padding} pixel{plural}, {_FILLS[crop.fill]}"
    elif isinstance(crop, ResizedCrop):
        yield (
            f"a part of {crop.min_area:.0%} to 100% of the area, stretched by up to "
            f"{crop.max_ratio:.2f} to 1"
        )
    elif isinstance(crop, ScaleCrop):
        ends = [f"{share:.2f}" for share in sorted({crop.low, crop.high})]
        yield f"a crop from anywhere, of a short side {' to '.join(ends)} times as long"
    if isinstance(policy, RandAugment):
        spread = f" ± {policy.std:g}" if policy.std else ""
        changes = "1 change" if policy.num_ops == 1 else f"{policy.num_ops} changes"
        each = (
            "" if policy.probability == 1 else f", each in {policy.probability:.0%} of the images"
        )
        yield f"RandAugment: {changes} of magnitude {policy.magnitude:g}{spread}{each}"
    elif policy is not None:
        yield "TrivialAugment: one change of random strength"


def _flips(augment: AugmentSettings) -> Iterator[str]:
    if augment.flip:
        every = augment.flip == "alternating"
        yield "mirrored every other time" if every else "mirrored half of the time"
    if augment.vertical_flip:
        yield "upside down half of the time"


def _colours(augment: AugmentSettings) -> Iterator[str]:
    if augment.jitter is not None:
        jitter = augment.jitter
        parts = [
            f"{name} ± {getattr(jitter, name):.0%}"
            for name in ("brightness", "contrast", "saturation")
            if getattr(jitter, name)
        ]
        if jitter.hue:
            parts.append(f"hue ± {jitter.hue:.0%} of the circle")
        yield ", ".join(parts)
    if augment.lighting:
        yield f"colours along their main axes (deviation {augment.lighting:g})"


def _boxes(augment: AugmentSettings) -> Iterator[str]:
    if augment.cutout is not None:
        yield f"a square of {augment.cutout} pixels cut out"
    erase = augment.erase
    if erase is not None:
        often = "" if erase.probability == 1 else f" in {erase.probability:.0%} of the images"
        filled = "noise" if erase.fill == "noise" else "the mean"
        yield f"a box of {filled} over {erase.min_area:.0%} to {erase.max_area:.0%}{often}"


def _mix(mix: Mixup | CutMix | MixupOrCutMix) -> str:
    often = "" if mix.probability == 1 else f" for {mix.probability:.0%} of the batches"
    if isinstance(mix, MixupOrCutMix):
        return (
            f"mixup (alpha {mix.mixup_alpha:g}) or CutMix (alpha {mix.cutmix_alpha:g}, "
            f"{mix.switch:.0%} of the mixed batches){often}"
        )
    kind = "mixup" if isinstance(mix, Mixup) else "CutMix"
    return f"{kind} (alpha {mix.alpha:g}){often}"


def what_was_drawn(drawn: Drawn, height: int, width: int) -> str:
    """What chance gave one picture of height x width pixels; nothing where it gave it nothing that
    is drawn for each picture by itself."""
    phrases = []
    if drawn.part is not None:
        left, top, right, bottom = drawn.part
        share = (right - left) * (bottom - top) / (height * width)
        phrases.append(f"{share:.0%} of the picture")
    phrases += [_change(name, strength) for name, strength in drawn.changes]
    return ", then ".join(phrases)


def _change(name: str, strength: float) -> str:
    """A change of a policy and its strength, in the units of `strongest`."""
    plain = name.replace("_", " ")
    if name.startswith("translate"):
        return f"{plain} {_signed(int(strength))} pixels"
    if name == "rotate":
        return f"{plain} {_signed(round(strength, 1))}°"
    if name == "posterize":
        return f"posterize, {round(strength)} bits away"
    if name == "solarize":
        return f"solarize, within {round(strength)} of white"
    if name in ("auto_contrast", "equalize", "identity"):
        return plain
    return f"{plain} {_signed(round(strength, 2))}"


def _signed(number: float) -> str:
    return f"{number:+g}".replace("-", "−")


def what_differs(plain: Pixels, drawn: Pixels) -> str:
    """(S, S, C) uint8 twice -> how a draw differs from the view that is evaluated."""
    if np.array_equal(drawn, plain):
        return "as it is"
    if np.array_equal(drawn, plain[:, ::-1]):
        return "mirrored"
    if np.array_equal(drawn, plain[::-1]):
        return "upside down"
    share = (drawn != plain).any(2).mean()
    return f"{share:.0%} of the pixels differ, by {difference(plain, drawn):.0f} of 255 on average"


def difference(plain: Pixels, drawn: Pixels) -> float:
    """(S, S, C) uint8 twice -> the mean distance of their values, from 0 to 255."""
    return float(np.abs(drawn.astype(np.int16) - plain).mean())
