"""What every network of the zoo is: a stem, stages and a head."""

from torch import Tensor, nn


class ImageClassifier(nn.Module):
    """(N, C, H, W) images -> (N, K) logits, through a stem, a row of stages and a head.

    Costs, transfer, features and diagnosis work on this structure, never on names.
    """

    stem: nn.Module
    stages: nn.ModuleList
    head: nn.Module

    def __init__(self, *, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_channels = in_channels

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, C, H, W) images -> the map after each stage, each (N, C_i, H_i, W_i)."""
        maps = []
        images = self.stem(images)
        for stage in self.stages:
            images = stage(images)
            maps.append(images)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) images -> (N, K) logits."""
        logits: Tensor = self.head(self.features(images)[-1])
        return logits
