"""Model cards: what is known about a network before it is built. Free of PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SINGLE_CROP = "ImageNet, centre crop 224, short side 256"
TEN_CROP = "ImageNet, 10-crop"


@dataclass(frozen=True)
class Published:
    """One accuracy that somebody reported, with the protocol it was measured under.

    top1 and top5 are fractions; either is None where the source does not give it, not both.
    """

    top1: float | None
    top5: float | None
    protocol: str
    source: str


@dataclass(frozen=True)
class Stage:
    """A row of a card's stage table: what a part of the network hands on.

    size is the side of its map in pixels, for images of the card's image_size; depth counts blocks.
    """

    name: str
    size: int
    channels: int
    depth: int
    made_of: str


@dataclass(frozen=True)
class ModelCard:
    """What a network is, where it comes from, what it costs, and what was reported for it.

    params is the number of trainable parameters and macs the number of multiply-adds for one image
    of image_size, both with num_classes outputs and in_channels inputs, without the auxiliary
    classifiers that a network drops after training; flops is 2 * macs. stages and block say how the
    network is laid out. torchvision and timm are the names of its peers there, empty where it has
    none. Tests recompute params, macs and stages from the network itself.
    """

    name: str
    family: str
    year: int
    paper: str
    arxiv: str
    params: int
    macs: int
    stages: tuple[Stage, ...]
    block: str
    image_size: int = 224
    num_classes: int = 1000
    in_channels: int = 3
    recipe: str = "default"
    published: tuple[Published, ...] = ()
    torchvision: str = ""
    timm: str = ""

    @property
    def flops(self) -> int:
        """Floating-point operations for one image: two for every multiply-add."""
        return 2 * self.macs

    @property
    def comparable(self) -> Published | None:
        """The figure by which networks can be compared, None where nobody gave one.

        The best top-1 on ImageNet with one centre crop of the card's own image_size and no further
        training data; ten crops, larger images and pretraining on more would favour whoever has it.
        """
        alike = [
            figure
            for figure in self.published
            if figure.protocol.startswith(f"ImageNet, centre crop {self.image_size}")
            and "22k" not in figure.protocol
            and figure.top1 is not None
        ]
        return max(alike, key=lambda f: f.top1 or 0.0, default=None)

    @property
    def headline(self) -> Published | None:
        """The figure to show in a list: the comparable one, else the first."""
        return self.comparable or next(iter(self.published), None)


@dataclass(frozen=True)
class Variant:
    """One row of a family's table: the card, and the settings that the family's Spec takes."""

    card: ModelCard
    spec: Mapping[str, Any]


def torchvision_figure(
    top1: float, top5: float, weights: str, *, crop: int = 224, resize: int = 256
) -> Published:
    """A row of torchvision's table of weights; top1 and top5 in percent."""
    return Published(
        top1=round(top1 / 100, 5),
        top5=round(top5 / 100, 5),
        protocol=f"ImageNet, centre crop {crop}, short side {resize}",
        source=f"torchvision {weights}",
    )


def errors(
    top1_error: float | None, top5_error: float | None, protocol: str, source: str
) -> Published:
    """A figure that a paper gives as errors in percent."""
    return Published(
        top1=None if top1_error is None else round(1 - top1_error / 100, 5),
        top5=None if top5_error is None else round(1 - top5_error / 100, 5),
        protocol=protocol,
        source=source,
    )
