"""Model cards: what is known about a network before it is built. Free of PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Published:
    """One accuracy that somebody reported, with the protocol it was measured under.

    top1 and top5 are fractions; top5 is None where the source gives none.
    """

    top1: float
    top5: float | None
    protocol: str
    source: str


@dataclass(frozen=True)
class ModelCard:
    """What a network is, where it comes from, what it costs, and what was reported for it.

    params is the number of trainable parameters and macs the number of multiply-adds for one image
    of image_size, both with num_classes outputs and in_channels inputs; flops is 2 * macs.
    Tests recompute params and macs from the network itself.
    """

    name: str
    family: str
    year: int
    paper: str
    arxiv: str
    image_size: int
    num_classes: int
    in_channels: int
    params: int
    macs: int
    recipe: str
    published: tuple[Published, ...] = ()

    @property
    def flops(self) -> int:
        """Floating-point operations for one image: two for every multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True)
class Variant:
    """One row of a family's table: the card, and the settings that the family's Spec takes."""

    card: ModelCard
    spec: Mapping[str, Any]
