"""What a recipe says of its data: where they are, how they are split, what is random about them.

Free of PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from fathom.errors import require


@dataclass(frozen=True)
class DataSettings:
    """Where the images come from and how they are split.

    source is a built-in name, a folder, an archive or a CSV manifest; or train and one of val or
    test are given apart. val_fraction is the share of every class that is held out, by seed, from
    images that come without a split (0.2 unless set), or from training where weights are chosen on
    data that have only train and test (0.1 unless set). channels is 1 or 3; auto is 1 where a
    sample of the images is all gray. cache keeps decoded images in memory: auto where they fit.
    workers decode images on the fly.
    """

    source: str | None = None
    train: str | None = None
    val: str | None = None
    test: str | None = None
    data_dir: str | None = None
    val_fraction: float | None = None
    seed: int = 0
    on_bad_image: Literal["skip", "fail"] = "skip"
    channels: Literal["auto", 1, 3] = "auto"
    cache: Literal["auto", "memory", "off"] = "auto"
    workers: int | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        require(
            self.val_fraction is None or 0 < self.val_fraction < 1,
            f"data.val_fraction is {self.val_fraction}; it must lie between 0 and 1",
        )
        require(
            self.workers == "auto" or self.workers >= 0,
            f"data.workers is {self.workers}; it must be 0 or more, or auto",
        )

    def absolute(self) -> DataSettings:
        """The same with whole paths, so that a run is resumed and evaluated from any folder."""
        paths: dict[str, Any] = {}
        for name in ("source", "train", "val", "test", "data_dir"):
            text = getattr(self, name)
            if text is not None and Path(text).expanduser().exists():
                paths[name] = str(Path(text).expanduser().absolute())
        return replace(self, **paths)


@dataclass(frozen=True)
class PadCrop:
    """Pad by some pixels on every side and crop the image's own size back at random.

    Source: He et al. 2015, arXiv:1512.03385, Section 4.2. fill is "mean" (the paper's zeros after
    the mean is subtracted), "black" or "reflect".
    """

    name: ClassVar[str] = "pad"
    padding: int = 4
    fill: Literal["mean", "black", "reflect"] = "reflect"

    def __post_init__(self) -> None:
        require(self.padding >= 1, f"augment.crop.padding is {self.padding}; use 1 or more")


@dataclass(frozen=True)
class ResizedCrop:
    """Crop a random share of the area at a random aspect ratio, and resize it to image_size.

    Source: Szegedy et al. 2014, arXiv:1409.4842, Section 6.
    """

    name: ClassVar[str] = "resized"
    min_area: float = 0.35
    max_ratio: float = 4 / 3

    def __post_init__(self) -> None:
        require(
            0 < self.min_area <= 1,
            f"augment.crop.min_area is {self.min_area:g}; it must be above 0 and at most 1",
        )
        require(self.max_ratio >= 1, f"augment.crop.max_ratio is {self.max_ratio:g}; use >= 1")


@dataclass(frozen=True)
class ScaleCrop:
    """Resize the short side to a random whole number of pixels, and crop image_size at random.

    low and high are the ends of that draw, both included, as multiples of image_size. For crops of
    224 pixels: He et al. 2015, arXiv:1512.03385, Section 3.4: 256 to 480; VGG (arXiv:1409.1556,
    Section 3.1): 256 to 512; AlexNet (2012, Section 4.1): always 256.
    """

    name: ClassVar[str] = "scale"
    low: float = 256 / 224
    high: float = 480 / 224

    def __post_init__(self) -> None:
        require(
            1 <= self.low <= self.high,
            f"augment.crop.low is {self.low:g} and high is {self.high:g}; they are multiples of "
            "image_size, 1 or more, low first",
        )


@dataclass(frozen=True)
class NoCrop:
    """Train on exactly the view that is evaluated."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class RandAugment:
    """num_ops random changes of one strength (Cubuk et al. 2019, arXiv:1909.13719, Section 3).

    magnitude runs from 0 to 10 as in the paper and in timm: torchvision's magnitude of 9 in 31 bins
    is 3 here. std draws each change's magnitude from a normal distribution around it, cut off at 0
    and 10. probability is that of each change to happen; in timm it is 0.5.
    """

    name: ClassVar[str] = "randaugment"
    num_ops: int = 2
    magnitude: float = 9.0
    std: float = 0.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        require(self.num_ops >= 1, f"augment.policy.num_ops is {self.num_ops}; use 1 or more")
        require(
            0 <= self.magnitude <= 10,
            f"augment.policy.magnitude is {self.magnitude:g}; it runs from 0 to 10",
        )
        _probability("augment.policy.probability", self.probability)
        require(self.std >= 0, f"augment.policy.std is {self.std:g}; use 0 or more")


@dataclass(frozen=True)
class TrivialAugment:
    """One random change of a random strength (Mueller and Hutter 2021, arXiv:2103.10158)."""

    name: ClassVar[str] = "trivialaugment"


@dataclass(frozen=True)
class ColourJitter:
    """Random brightness, contrast, saturation and hue (Howard 2013, arXiv:1312.5402, Section 2.2).

    Factors are uniform within 1 - s and 1 + s; hue is a part of a turn, at most 0.5.
    """

    name: ClassVar[str] = "jitter"
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        strengths = (self.brightness, self.contrast, self.saturation)
        require(min(strengths) >= 0, f"strengths of augment.jitter are {strengths}; use 0 or more")
        require(0 <= self.hue <= 0.5, f"augment.jitter.hue is {self.hue:g}; it lies in 0 to 0.5")
        require(
            max(*strengths, self.hue) > 0, "augment.jitter changes nothing; set it to none instead"
        )


@dataclass(frozen=True)
class RandomErasing:
    """A random box of an image is overwritten (Zhong et al. 2017, arXiv:1708.04896, Algorithm 1).

    Of min_area to max_area of the image and an aspect ratio up to max_ratio either way. fill is
    "noise" (a normal draw a pixel, after normalisation) or "mean" (zeros there).
    """

    name: ClassVar[str] = "erasing"
    probability: float = 0.25
    min_area: float = 0.02
    max_area: float = 1 / 3
    max_ratio: float = 10 / 3
    fill: Literal["noise", "mean"] = "noise"

    def __post_init__(self) -> None:
        _probability("augment.erase.probability", self.probability)
        require(
            0 < self.min_area <= self.max_area <= 1,
            f"augment.erase.min_area is {self.min_area:g} and max_area {self.max_area:g}; they are "
            "shares of the image, the smaller first",
        )
        require(self.max_ratio >= 1, f"augment.erase.max_ratio is {self.max_ratio:g}; use >= 1")


@dataclass(frozen=True)
class Mixup:
    """Blend a batch with itself in another order (Zhang et al. 2017, arXiv:1710.09412).

    alpha shapes the Beta distribution of the weights; probability is the share of batches mixed.
    """

    name: ClassVar[str] = "mixup"
    alpha: float = 0.2
    probability: float = 1.0

    def __post_init__(self) -> None:
        require(self.alpha > 0, f"augment.mix.alpha is {self.alpha:g}; it must be above 0")
        _probability("augment.mix.probability", self.probability)


@dataclass(frozen=True)
class CutMix:
    """Paste a box of another image (Yun et al. 2019, arXiv:1905.04899); settings as for Mixup."""

    name: ClassVar[str] = "cutmix"
    alpha: float = 1.0
    probability: float = 1.0

    def __post_init__(self) -> None:
        require(self.alpha > 0, f"augment.mix.alpha is {self.alpha:g}; it must be above 0")
        _probability("augment.mix.probability", self.probability)


@dataclass(frozen=True)
class MixupOrCutMix:
    """One of the two for each batch: CutMix with probability `switch`, else mixup.

    probability is the share of batches that are mixed at all.
    """

    name: ClassVar[str] = "mixup_or_cutmix"
    mixup_alpha: float = 0.8
    cutmix_alpha: float = 1.0
    switch: float = 0.5
    probability: float = 1.0

    def __post_init__(self) -> None:
        alphas = (self.mixup_alpha, self.cutmix_alpha)
        require(min(alphas) > 0, f"the alphas of augment.mix are {alphas}; they must be above 0")
        require(
            0 < self.switch < 1,
            f"augment.mix.switch is {self.switch:g}; it must lie between 0 and 1: for one of the "
            "two alone set augment.mix to mixup or cutmix",
        )
        _probability("augment.mix.probability", self.probability)


def _probability(name: str, value: float) -> None:
    require(0 < value <= 1, f"{name} is {value:g}; it must be above 0 and at most 1")


@dataclass(frozen=True)
class AugmentSettings:
    """What is random about a training image, in the order in which it happens.

    crop (a padded one after the policy, as in AutoAugment's code for CIFAR-10), then policy, flip
    (true mirrors left and right with probability 1/2; alternating mirrors each image every other
    time it is shown, Jordan 2024, arXiv:2404.00498), vertical_flip (probability 1/2), jitter,
    lighting (the deviation of AlexNet's colour shifts, 0.1 there), normalisation, cutout (pixels of
    the side of its square), erase, mix. repeats shows each image that many times in a batch, each
    time drawn anew (Hoffer et al. 2019, arXiv:1901.09335); an epoch keeps its number of steps.
    """

    crop: PadCrop | ResizedCrop | ScaleCrop | NoCrop
    flip: bool | Literal["alternating"]
    vertical_flip: bool = False
    policy: RandAugment | TrivialAugment | None = None
    jitter: ColourJitter | None = None
    lighting: float = 0.0
    cutout: int | None = None
    erase: RandomErasing | None = None
    mix: Mixup | CutMix | MixupOrCutMix | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        require(self.lighting >= 0, f"augment.lighting is {self.lighting:g}; use 0 or more")
        require(
            self.cutout is None or self.cutout >= 1,
            f"augment.cutout is {self.cutout}; it is pixels, 1 or more, or none",
        )
        require(self.repeats >= 1, f"augment.repeats is {self.repeats}; use 1 or more")

    @property
    def from_files(self) -> bool:
        """Whether training views are cut from the original images, each time anew."""
        return isinstance(self.crop, ResizedCrop | ScaleCrop)
