"""What a recipe says of its data: where they are, how they are split, what is random about them.

Free of PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

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
class NoCrop:
    """Train on exactly the view that is evaluated."""

    name: ClassVar[str] = "none"


@dataclass(frozen=True)
class AugmentSettings:
    """What is random about a training image. flip mirrors left and right with probability 1/2."""

    crop: PadCrop | ResizedCrop | NoCrop
    flip: bool
