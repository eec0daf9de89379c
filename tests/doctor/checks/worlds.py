"""Small sets of pictures, and loaders of them, for the checks of data and of labels."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import fathom
from fathom.doctor import Observed
from fathom.doctor.diagnose import diagnose

from .made import CLASSES, Tiny

SIDE = 12


class Pictures(Dataset[Any]):
    """Images that may be changed as they are read, with a generator of their own."""

    def __init__(
        self,
        images: Tensor,
        targets: Tensor,
        transform: Callable[[Tensor, random.Random], Tensor] | None = None,
    ) -> None:
        self.images, self.targets, self.transform = images, targets, transform
        self.rng = random.Random(0)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        image = self.images[place]
        if self.transform is not None:
            image = self.transform(image, self.rng)
        return image, int(self.targets[place])


def patterns(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ten smooth patterns with noise, any seed's of the same ten."""
    coarse = torch.randn(CLASSES, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    shapes = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bilinear")
    source = torch.Generator().manual_seed(1000 + seed)
    targets = torch.randint(CLASSES, (count,), generator=source)
    return shapes[targets] + 0.5 * torch.randn(count, 1, SIDE, SIDE, generator=source), targets


def noisy(targets: Tensor, share: float) -> Tensor:
    """Labels of which a share is replaced by other ones."""
    source = torch.Generator().manual_seed(5)
    wrong = torch.rand(len(targets), generator=source) < share
    others = torch.randint(1, CLASSES, (len(targets),), generator=source)
    return torch.where(wrong, (targets + others) % CLASSES, targets)


def rolled(image: Tensor, rng: random.Random) -> Tensor:
    """Moved by a pixel at most, a harmless augmentation."""
    return image.roll((rng.randint(-1, 1), rng.randint(-1, 1)), (1, 2))


def hidden(image: Tensor, rng: random.Random) -> Tensor:
    """Nothing but noise is left."""
    return torch.randn(image.shape, generator=torch.Generator().manual_seed(rng.randrange(10**9)))


def watched(
    train: Dataset[Any],
    val: Dataset[Any],
    *,
    steps: int = 40,
    shuffle: bool = True,
    lr: float = 0.05,
) -> Observed:
    """A plain loop of a tiny network -> what the doctor saw."""
    torch.manual_seed(0)
    model = Tiny()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    loader = DataLoader(train, 32, shuffle=shuffle, generator=torch.Generator().manual_seed(0))
    watch = fathom.watch(model, optimizer, train=loader, val=DataLoader(val, 64), every=8)
    step = 0
    while step < steps:
        for images, targets in loader:
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / steps)
            model.train()
            loss = torch.nn.functional.cross_entropy(model(images), targets)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            watch.step(loss, targets)
            step += 1
            if step == steps:
                break
    seen = watch.verdict().observed
    watch.close()
    return seen


def causes(seen: Observed) -> list[str]:
    """What the doctor names."""
    return [finding.cause for finding in diagnose(seen)]
