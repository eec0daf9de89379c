"""Does the doctor name wrongly prepared images of pretrained weights before the first step?

    python benchmarks/doctor_before_training.py --photographs FOLDER --cifar10 FOLDER

EfficientNet-Lite0 with its ImageNet weights in one's own loop, with its own head and with a new
one, watched with `fathom.watch(model, optimizer, train=loader)`, and `check()` called. Lite0 wants
(pixel - 127) / 128, RGB. Folders hold a folder of images for each class.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import fathom
from fathom.data.views import centre_view
from fathom.features.backbone import find_backbones

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
WAYS: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "as it wants": (lambda x: (x - 127) / 128, ""),
    "pixels from 0 to 255": (lambda x: x, "input-range"),
    "ImageNet's mean and std": (
        lambda x: (x / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None],
        "input-statistics",
    ),
    "pixels from 0 to 1": (lambda x: x / 255, "input-statistics"),
    "BGR": (lambda x: (x.flip(0) - 127) / 128, "channel-order"),
}


class Pictures(Dataset[tuple[Tensor, int]]):
    """Image files of class folders, cut to a square and prepared in one of the ways."""

    def __init__(self, root: Path, size: int, prepare: Callable[[Tensor], Tensor]) -> None:
        self.files = sorted(file for file in root.rglob("*") if file.is_file())[:2000]
        self.names = sorted({file.parent.name for file in self.files})
        self.size, self.prepare = size, prepare

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        pixels = np.asarray(Image.open(self.files[place]).convert("RGB"))
        resize = round(self.size * 256 / 224)
        view = centre_view(pixels, self.size, resize, "bicubic").float()
        return self.prepare(view), self.names.index(self.files[place].parent.name)


def named(root: Path, size: int, way: str, *, new_head: bool) -> tuple[list[str], float]:
    """What is found before the first step, and the seconds that it took."""
    torch.manual_seed(0)
    (backbone,) = find_backbones("lite")
    model = backbone.build()
    images = Pictures(root, size, WAYS[way][0])
    if new_head:
        model.head[6] = nn.Linear(1280, len(images.names))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    began = time.monotonic()
    watch = fathom.watch(model, optimizer, train=DataLoader(images, batch_size=32, shuffle=True))
    found = [finding.cause for finding in watch.check().findings]
    return found, time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--cifar10", type=Path)
    asked = parser.parse_args()
    print("| images | head | fed | named | right | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label, root, size in (
        ("photographs", asked.photographs, 224),
        ("CIFAR-10", asked.cifar10, 128),
    ):
        for new_head in (False, True):
            for way, (_, wanted) in WAYS.items():
                if root is None:
                    continue
                found, seconds = named(root, size, way, new_head=new_head)
                right = found == ([wanted] if wanted else [])
                cells = (
                    label,
                    "new" if new_head else "its own",
                    way,
                    ", ".join(found) or "nothing",
                    "yes" if right else "no",
                    f"{seconds:.0f}",
                )
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
