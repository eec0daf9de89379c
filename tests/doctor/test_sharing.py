"""Images in both splits, images that move, workers that draw alike."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, get_worker_info

from fathom.data.catalog import ImageList
from fathom.data.load import Split
from fathom.data.sources import Arrays
from fathom.doctor.feed import sample
from fathom.doctor.sharing import blank, leaked, leaked_in, moves, same_streams, stored_keys
from tests.images import noise

from .checks.worlds import Pictures, patterns, rolled


def test_images_that_differ_between_readings_are_counted() -> None:
    for transform, least, most in ((None, 0.0, 0.0), (rolled, 0.7, 1.0)):
        loader = DataLoader(Pictures(*patterns(64, 0), transform), 16)
        seen = sample(loader)
        assert seen is not None
        assert least <= moves(loader, seen) <= most


def test_images_of_one_colour_are_blank_in_every_channel() -> None:
    images = torch.randn(4, 3, 8, 8)
    images[0] = 0
    images[1] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    images[2, 0] = 0
    assert blank(images).tolist() == [True, True, False, False]


def _own(_worker: int) -> None:
    info: Any = get_worker_info()
    info.dataset.rng = random.Random(info.seed)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on a single core
def test_workers_that_draw_alike_are_told_from_those_with_seeds_of_their_own() -> None:
    moving = Pictures(*patterns(16, 0), rolled)
    state = moving.rng.getstate()
    assert same_streams(DataLoader(moving, num_workers=2)) is True
    assert same_streams(DataLoader(moving, num_workers=2, worker_init_fn=_own)) is False
    assert same_streams(DataLoader(Pictures(*patterns(16, 0)), num_workers=2)) is None
    assert moving.rng.getstate() == state


def test_rows_are_found_in_any_data_set_that_holds_them() -> None:
    (images, targets), (theirs, labels) = patterns(40, 0), patterns(30, 1)
    both = torch.cat([images, theirs[:7]]), torch.cat([targets, labels[:7]])
    val = TensorDataset(theirs, labels)
    for train in (Pictures(*both, rolled), TensorDataset(*both)):
        keys = stored_keys(train, val)
        assert keys is not None
        assert leaked(*keys) == list(range(7))
    some = stored_keys(Subset(Pictures(*both), range(40)), Subset(val, [3, 20]))
    assert some is not None
    assert leaked(*some) == []


def test_blank_images_are_not_copies_of_each_other() -> None:
    train, val = torch.zeros(4, 1, 8, 8), torch.zeros(4, 1, 8, 8)
    keys = stored_keys(TensorDataset(train), TensorDataset(val))
    assert keys is not None
    assert leaked(*keys) == []


class Files(Dataset[Any]):
    """As torchvision's folders have them: (path, class)."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.samples = [(str(folder / name), 0) for name in names]

    def __len__(self) -> int:
        return len(self.samples)


def test_files_are_compared_by_content(tmp_path: Path) -> None:
    for name, text in {"a": "one", "b": "two", "c": "one", "d": "four"}.items():
        (tmp_path / name).write_text(text)
    keys = stored_keys(Files(tmp_path, ["a", "b"]), Files(tmp_path, ["c", "d"]))
    assert keys is not None
    assert leaked(*keys) == [0]
    assert stored_keys(Files(tmp_path, ["a"]), TensorDataset(torch.zeros(2, 1, 8, 8))) is None


@pytest.mark.parametrize("kept", [True, False])
def test_fathoms_own_data_are_compared_by_views_or_checksums(kept: bool) -> None:
    ours = [noise(seed) for seed in range(6)]
    theirs = [noise(seed) for seed in (10, 2, 11)]

    def split(images: list[Any]) -> Split:
        source = Arrays(images)
        keys = tuple(str(i) for i in range(len(images)))
        views = torch.stack([torch.from_numpy(i).movedim(2, 0) for i in images]) if kept else None
        return Split(ImageList(source, keys, (0,) * len(images)), views)

    data = SimpleNamespace(splits={"train": split(ours), "val": split(theirs)})
    assert leaked_in(data, "val") == (["1"], 3)  # type: ignore[arg-type]
