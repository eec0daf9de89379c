"""Which images train, which choose, which judge.

Nothing is ever chosen on test images. Where a choice is wanted (the best checkpoint, early
stopping) and the data have no validation images, a seeded part of training is held out for it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from fathom.data.catalog import Catalog, ImageList
from fathom.data.settings import DataSettings
from fathom.errors import UserError
from fathom.runtime import generator

_UNSPLIT_FRACTION = 0.2
_CHOICE_FRACTION = 0.1


@dataclass(frozen=True)
class SplitCatalog:
    """A catalog with train and val, test, or both; origins says in words where each came from."""

    catalog: Catalog
    origins: Mapping[str, str]

    @property
    def judge(self) -> str:
        """The split whose images the run's result is measured on: test where there is one."""
        return "test" if "test" in self.catalog.splits else "val"


def stratified(targets: Sequence[int], fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Positions kept and positions held out: about `fraction` of every class, at least one.

    Every class must have at least two images, so that both sides get one.
    """
    by_class: dict[int, list[int]] = defaultdict(list)
    for position, target in enumerate(targets):
        by_class[target].append(position)
    kept: list[int] = []
    held: list[int] = []
    for target, positions in sorted(by_class.items()):
        assert len(positions) >= 2, f"class {target} has one image"
        order = torch.randperm(len(positions), generator=generator(seed, "split", target)).tolist()
        count = min(max(1, round(fraction * len(positions))), len(positions) - 1)
        held.extend(positions[i] for i in order[:count])
        kept.extend(positions[i] for i in order[count:])
    return sorted(kept), sorted(held)


def split_catalog(catalog: Catalog, settings: DataSettings, *, choosing: bool) -> SplitCatalog:
    """Give the catalog the splits a run needs; choosing says whether it picks weights by accuracy.

    Without validation images a part of training is held out for it, and where val_fraction is set.
    Raises UserError when it is set and the data bring validation images.
    """
    splits = dict(catalog.splits)
    origins = dict.fromkeys(splits, "as the data give it")
    if "all" in splits:
        fraction = settings.val_fraction or _UNSPLIT_FRACTION
        splits = _hold_out(splits.pop("all"), fraction, settings.seed, catalog)
        share = f"{fraction:.0%} of every class, held out with seed {settings.seed}"
        origins = {"train": "the images not held out", "val": share}
    elif (choosing or settings.val_fraction is not None) and "val" not in splits:
        fraction = settings.val_fraction or _CHOICE_FRACTION
        held = _hold_out(splits["train"], fraction, settings.seed, catalog)
        splits = {**held, "test": splits["test"]}
        share = f"{fraction:.0%} of every training class, held out with seed {settings.seed}"
        origins.update(train="the training images not held out", val=share)
    elif settings.val_fraction is not None:
        raise UserError(
            f"data.val_fraction={settings.val_fraction:g} has no effect: {catalog.name} comes with "
            f"the splits {', '.join(catalog.splits)}; leave it out"
        )
    return SplitCatalog(replace(catalog, splits=splits), origins)


def holding_out(settings: DataSettings, catalog: Catalog) -> DataSettings:
    """The settings, which say how much of training is held out where the data bring no validation
    images: a run then has them whatever it chooses its weights by, now and when it is read again.
    """
    if "all" in catalog.splits or "val" in catalog.splits or settings.val_fraction is not None:
        return settings
    return replace(settings, val_fraction=_CHOICE_FRACTION)


def _hold_out(
    images: ImageList, fraction: float, seed: int, catalog: Catalog
) -> dict[str, ImageList]:
    counts = Counter(images.targets)
    lonely = [name for i, name in enumerate(catalog.class_names) if counts[i] < 2]
    if lonely:
        raise UserError(
            f"class {lonely[0]!r} has one image, and a split needs at least two of every class; "
            "add images, or give the splits yourself"
        )
    kept, held = stratified(images.targets, fraction, seed)
    return {"train": images.take(kept), "val": images.take(held)}
