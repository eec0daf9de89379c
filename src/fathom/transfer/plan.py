"""What somebody asks of a transfer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fathom.data.settings import DataSettings
from fathom.errors import require
from fathom.features.backbone import Backbone
from fathom.transfer.strategies import Strategy


@dataclass(frozen=True)
class Plan:
    """What is to be transferred, in how much time.

    stages: how many of the last ones `partial` trains, None for two (one of two stages).
    image_size is that of the network's input, in pixels; None leaves it to the time.
    """

    data: DataSettings
    backbones: tuple[Backbone, ...]
    minutes: float
    strategy: Strategy | Literal["auto"] = "auto"
    stages: int | None = None
    image_size: int | None = None
    seed: int = 0
    device: str = "auto"
    trust_images: bool = False
    cache: bool = True

    def __post_init__(self) -> None:
        require(self.minutes > 0, f"minutes is {self.minutes:g}; it must be above 0")
        require(
            self.stages is None or self.stages >= 1,
            f"stages is {self.stages}; train the last stage at least",
        )
        unused = {
            "image_size": self.image_size is not None,
            "trust_images": self.trust_images,
            "no_cache": not self.cache,
            "several weights": len(self.backbones) > 1,
        }
        given = [name for name, is_given in unused.items() if is_given]
        require(
            self.strategy != "scratch" or not given,
            f"{', '.join(given)}: without effect on training from scratch, which takes no "
            "pretrained weights; leave out what belongs to them",
        )
        require(bool(self.backbones), "no pretrained weights; name some with --weights")
