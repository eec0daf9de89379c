"""Broken files are left out and named; what is kept, measured and fingerprinted is exact."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from fathom.data import load
from fathom.data.catalog import Catalog, ImageList, open_catalog
from fathom.data.load import Dataset, load_dataset, load_split
from fathom.data.settings import (
    AugmentSettings,
    DataSettings,
    PadCrop,
    ResizedCrop,
    ScaleCrop,
)
from fathom.data.sources import Arrays
from fathom.data.split import split_catalog
from fathom.errors import UserError
from fathom.preprocess import Preprocess
from tests.images import PLAIN, array_catalog, encode, loaded, noise, pack, write, write_tree

# Python 3.12 warns where a process with threads forks, as the loader's do.
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")

TREE = {"train/a": 9, "train/b": 7, "val/a": 3, "val/b": 4}


def settings_of(where: Path, **changes: Any) -> DataSettings:
    return DataSettings(**{"source": str(where), "workers": 0, **changes})


def load_from(where: Path, augment: AugmentSettings = PLAIN, **changes: Any) -> Dataset:
    settings = settings_of(where, **changes)
    chosen = split_catalog(open_catalog(settings), settings, choosing=False)
    return load_dataset(chosen, settings, augment, image_size=8, channels=3)


def spoil(root: Path) -> None:
    """Three broken files in training and one in validation, of different kinds."""
    write(root / "train/a/1.png", b"")
    write(root / "train/a/zz.txt", b"dear diary\n" * 30)
    truncate(root / "train/b/3.png")
    write(root / "val/b/0.png", encode(noise(1), "JPEG"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


NAMED = [
    ("train", "train/a/1.png", "empty file"),
    ("train", "train/a/zz.txt", "not an image"),
    ("train", "train/b/3.png", "truncated or damaged"),
    ("val", "val/b/0.png", "mislabelled"),
]


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_broken_files_are_left_out_and_named(cache: str, tmp_path: Path) -> None:
    spoil(write_tree(tmp_path, TREE))
    dataset = load_from(tmp_path, cache=cache)
    for bad, (split, name, reason) in zip(dataset.bad, NAMED, strict=True):
        assert (bad.split, bad.name) == (split, name)
        assert reason in bad.reason
    assert dataset.counts("train") == [8, 6]
    assert dataset.counts("val") == [3, 3]
    wanted = {**{f"a/{i}": i for i in range(9)}, **{f"b/{i}": 9 + i for i in range(7)}}
    images = dataset.splits["train"].images
    places = {key.removeprefix("train/").removesuffix(".png"): key for key in images.keys}
    assert set(places) == set(wanted) - {"a/1", "b/3"}
    assert [key.split("/")[1] for key in images.keys] == ["ab"[t] for t in images.targets]
    views = dataset.splits["train"].views
    assert (views is None) == (cache == "off")
    if views is not None:
        for view, key in zip(views, images.keys, strict=True):
            seed = wanted[key.removeprefix("train/").removesuffix(".png")]
            assert np.array_equal(view.permute(1, 2, 0).numpy(), noise(seed))


@pytest.mark.parametrize("cache", ["memory", "off"])
def test_broken_files_may_be_an_error_that_lists_them(cache: str, tmp_path: Path) -> None:
    spoil(write_tree(tmp_path, TREE))
    with pytest.raises(UserError, match="4 of 24 images cannot be used") as error:
        load_from(tmp_path, cache=cache, on_bad_image="fail")
    for _, name, reason in NAMED:
        assert name in str(error.value)
        assert reason in str(error.value)
    assert "--on-bad-image skip" in str(error.value)


def test_a_long_list_of_broken_files_is_cut(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": 2, "b": 2})
    for i in range(25):
        write(tmp_path / "a" / f"x{i}.png", b"")
    with pytest.raises(UserError, match=r"25 of 29 .*; and 5 more"):
        load_from(tmp_path, on_bad_image="fail")


def test_whole_data_pass_where_broken_files_are_an_error(tmp_path: Path) -> None:
    dataset = load_from(write_tree(tmp_path, TREE), on_bad_image="fail")
    assert dataset.bad == ()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_class_with_only_broken_files_is_an_error(split: str, tmp_path: Path) -> None:
    write_tree(tmp_path, TREE)
    for path in (tmp_path / split / "b").iterdir():
        truncate(path)
    with pytest.raises(UserError, match=f"no usable image of class 'b' is left in {split}"):
        load_from(tmp_path)


def same(one: Dataset, other: Dataset) -> None:
    assert replace(one, splits={}) == replace(other, splits={})
    assert one.splits.keys() == other.splits.keys()
    for role in one.splits:
        left, right = one.splits[role], other.splits[role]
        assert left.images.keys == right.images.keys
        assert torch.equal(left.targets, right.targets)
        assert left.targets.dtype == torch.int64
        assert (left.views is None) == (right.views is None)
        if left.views is not None and right.views is not None:
            assert torch.equal(left.views, right.views)


@pytest.mark.parametrize("kind", ["folder", "zip"])
@pytest.mark.parametrize("cache", ["memory", "off"])
def test_workers_change_nothing(kind: str, cache: str, tmp_path: Path) -> None:
    where = write_tree(tmp_path / "tree", {**TREE, "train/a": 2 * load._CHUNK + 9})
    spoil(where)
    if kind == "zip":
        where = pack(where, tmp_path / "packed.zip")
    same(load_from(where, cache=cache), load_from(where, cache=cache, workers=2))


def test_the_cache_changes_nothing_but_where_the_views_are(tmp_path: Path) -> None:
    spoil(write_tree(tmp_path, TREE))
    kept, streamed = load_from(tmp_path, cache="memory"), load_from(tmp_path, cache="off")
    assert all(split.views is None for split in streamed.splits.values())
    assert replace(kept, splits={}) == replace(streamed, splits={})


def test_images_stay_on_disk_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the fingerprint is the same, or a run could not be resumed on a busier machine."""
    write_tree(tmp_path, TREE)
    plenty = load_from(tmp_path)
    size = 23 * 3 * 8 * 8
    monkeypatch.setattr(load, "available_memory", lambda: 4 * size)
    assert load_from(tmp_path).splits["val"].views is not None
    monkeypatch.setattr(load, "available_memory", lambda: 4 * size - 4)
    short = load_from(tmp_path)
    assert short.splits["val"].views is None
    assert short.fingerprint == plenty.fingerprint
    with pytest.raises(UserError, match=r"cache=memory needs .* GiB .*use data.cache=auto"):
        load_from(tmp_path, cache="memory")


def test_resized_crops_need_the_whole_images(tmp_path: Path) -> None:
    augment = AugmentSettings(ResizedCrop(), flip=True)
    dataset = load_from(write_tree(tmp_path, TREE), augment)
    assert dataset.splits["train"].views is None
    assert (dataset.preprocess.image_size, dataset.preprocess.resize) == (8, 9)
    with pytest.raises(UserError, match=r"cache=memory .* augment.crop=resized .*cache=auto"):
        load_from(tmp_path, augment, cache="memory")


@pytest.mark.parametrize("crop", [ResizedCrop(), ScaleCrop(1, 9 / 8)])
def test_crops_from_files_may_be_evaluated_at_any_size(
    crop: ResizedCrop | ScaleCrop, tmp_path: Path
) -> None:
    """The resize is as asked, else that of pretrained weights in proportion, else 256/224."""
    settings, augment = settings_of(write_tree(tmp_path, TREE)), AugmentSettings(crop, flip=True)
    chosen = split_catalog(open_catalog(settings), settings, choosing=False)
    weights = Preprocess(224, 232, 3, (0.5,) * 3, (0.2,) * 3, "bicubic")

    def view(resize: int | None, pretrained: Preprocess | None) -> tuple[int, int, str]:
        found = load_dataset(
            chosen,
            settings,
            augment,
            image_size=28,
            channels=3,
            resize=resize,
            pretrained=pretrained,
        ).preprocess
        return found.image_size, found.resize, found.interpolation

    assert view(None, None) == (28, 32, "bilinear")
    assert view(30, None) == (28, 30, "bilinear")
    assert view(None, weights) == (28, 29, "bicubic")
    assert view(28, weights) == (28, 28, "bicubic")
    with pytest.raises(UserError, match=f"cache=memory .* augment.crop={crop.name} cuts"):
        load_from(tmp_path, augment, cache="memory")


@pytest.mark.parametrize("cache", ["memory", "off"])
@pytest.mark.parametrize("channels", [1, 3])
def test_statistics_are_those_of_the_training_pixels(cache: Any, channels: int) -> None:
    catalog = array_catalog({"a": 20, "b": 30}, channels=channels)
    settings = DataSettings(workers=0, cache=cache)
    dataset = loaded(catalog, settings, channels=channels)
    images = dataset.splits["train"].images
    pixels = np.stack([images.source.pixels(key, channels) for key in images.keys]) / 255
    preprocess = dataset.preprocess
    assert np.allclose(preprocess.mean, pixels.mean((0, 1, 2)), rtol=0, atol=1e-6)
    assert np.allclose(preprocess.std, pixels.std((0, 1, 2)), rtol=0, atol=1e-6)
    assert len(preprocess.mean) == preprocess.channels == channels


def test_flat_images_do_not_divide_by_zero(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        write(tmp_path / f"{name}.png", encode(np.full((8, 8, 3), 51, np.uint8)))
    preprocess = load_from(tmp_path).preprocess
    assert preprocess.mean == (0.2, 0.2, 0.2)
    assert preprocess.std == (0.003922,) * 3


def test_many_streamed_images_have_only_their_headers_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_from(write_tree(tmp_path, TREE), cache="off")
    spoil(tmp_path)
    monkeypatch.setattr(load, "AUDIT_LIMIT", 20)
    dataset = load_from(tmp_path, cache="off")
    assert [bad.name for bad in dataset.bad] == [n for _, n, r in NAMED if "truncated" not in r]
    assert "train/b/3.png" in dataset.splits["train"].images.keys
    images = dataset.splits["train"].images
    good = [key for key in images.keys if key != "train/b/3.png"]
    pixels = np.stack([images.source.pixels(key, 3) for key in good]) / 255
    assert np.allclose(dataset.preprocess.mean, pixels.mean((0, 1, 2)), rtol=0, atol=1e-6)
    assert dataset.fingerprint != whole.fingerprint
    same(dataset, load_from(tmp_path, cache="off", workers=2))


def test_statistics_of_many_images_come_from_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = array_catalog({"a": 60, "b": 60})
    settings = DataSettings(workers=0, cache="off")
    exact = loaded(catalog, settings).preprocess
    monkeypatch.setattr(load, "AUDIT_LIMIT", 30)
    sampled = loaded(catalog, settings).preprocess
    assert sampled.mean != exact.mean
    assert np.allclose(sampled.mean, exact.mean, atol=0.03)
    assert loaded(catalog, settings).preprocess == sampled


def test_many_streamed_images_that_all_break_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in write_tree(tmp_path, TREE).rglob("*.png"):
        truncate(path)
    monkeypatch.setattr(load, "AUDIT_LIMIT", 5)
    with pytest.raises(UserError, match="none of 5 sampled training images can be decoded"):
        load_from(tmp_path, cache="off")


def _swap_class(root: Path) -> None:
    (root / "train/a/0.png").rename(root / "train/b/0x.png")


def _one_pixel(root: Path) -> None:
    pixels = noise(0)
    pixels[3, 4, 1] ^= 1
    write(root / "train/a/0.png", encode(pixels))


def _rename(root: Path) -> None:
    (root / "train/a/0.png").rename(root / "train/a/00.png")


def _rename_class(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "b").rename(root / split / "c")


def _move_between_splits(root: Path) -> None:
    (root / "train/a/0.png").rename(root / "val/a/00.png")


def _swap_contents(root: Path) -> None:
    first, second = (root / "train/a/0.png", root / "train/b/0.png")
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)


def _longer(root: Path) -> None:
    write(root / "train/a/0.png", encode(noise(0, 8, 12)))


TOLD_BY_SIZE = [_swap_class, _rename, _rename_class, _move_between_splits, _longer]
CHANGES = [*TOLD_BY_SIZE, _one_pixel, _swap_contents]
# Beyond AUDIT_LIMIT images only headers are read beforehand, and a file is known by its size.
CASES = [(kind, change) for kind in ("folder", "zip", "tar", "off") for change in CHANGES]
CASES += [("headers", change) for change in TOLD_BY_SIZE]


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_every_change_of_the_data_changes_the_fingerprint(
    kind: str, change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache: Literal["auto", "off"] = "off" if kind in ("off", "headers") else "auto"
    if kind == "headers":
        monkeypatch.setattr(load, "AUDIT_LIMIT", 5)
    tree = write_tree(tmp_path / "tree", TREE)

    def fingerprint(name: str) -> str:
        moved = shutil.copytree(tree, tmp_path / name)
        if kind in ("zip", "tar"):
            moved = pack(moved, tmp_path / f"{name}.{kind}")
        return load_from(moved, cache=cache).fingerprint

    before = fingerprint("one")
    assert fingerprint("two") == before, "the place of the data is no part of them"
    change(tree)
    assert fingerprint("three") != before


def test_the_fingerprint_of_arrays_follows_pixels_classes_and_splits() -> None:
    catalog = array_catalog({"a": 5, "b": 5})
    source = catalog.splits["all"].source
    assert isinstance(source, Arrays)

    def fingerprint(targets: str, *, held_out: int, names: str = "ab") -> str:
        images = ImageList(source, tuple("0123456789"), tuple(map(int, targets)))
        parts = {"val": images.take(range(held_out)), "train": images.take(range(held_out, 10))}
        return loaded(Catalog("made", tuple(names), parts), channels=1).fingerprint

    before = fingerprint("0101010101", held_out=4)
    assert fingerprint("0101010101", held_out=4) == before
    assert fingerprint("0101010101", held_out=6) != before
    assert fingerprint("1001010101", held_out=4) != before
    assert fingerprint("0101010101", held_out=4, names="ac") != before
    source.images[4][2, 2] ^= 1
    assert fingerprint("0101010101", held_out=4) != before


def test_names_need_not_be_utf8(tmp_path: Path) -> None:
    """A file and a class named in Latin-1, as an old archive leaves them."""
    write_tree(tmp_path, {"a": 2, "b": 2})
    odd = os.fsdecode(b"caf\xe9")
    try:
        write(tmp_path / odd / f"{odd}.png", encode(noise(7)))
        write(tmp_path / odd / "2.png", encode(noise(8)))
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    archive = pack(tmp_path, tmp_path.parent / f"{tmp_path.name}.tar")
    for where in (tmp_path, archive):
        dataset = load_from(where)
        assert dataset.class_names == ("a", "b", odd)
        keys = {key for split in dataset.splits.values() for key in split.images.keys}
        assert f"{odd}/{odd}.png" in keys
        assert len(dataset.fingerprint) == 64
    assert load_from(tmp_path).fingerprint == load_from(archive).fingerprint


def test_everything_that_was_said_is_passed_on(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": 4, "b": 4, ".hidden": 1})
    dataset = load_from(tmp_path)
    assert dataset.name == tmp_path.name
    assert dataset.judge == "val"
    assert dataset.notes == ("ignored hidden folders: .hidden",)
    assert dataset.origins["val"].startswith("20% of every class")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("short", [False, True])
def test_images_are_looked_at_through_a_stored_view(
    workers: int, short: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if short:
        monkeypatch.setattr(load, "available_memory", lambda: 0)
    spoil(write_tree(tmp_path, TREE, size=10))
    settings = settings_of(tmp_path, workers=workers)
    images = open_catalog(settings).splits["train"]
    preprocess = Preprocess(6, 10, 1, (0.5,), (0.2,))
    split, bad = load_split(images, settings, preprocess, role="all")
    assert [(b.split, b.name) for b in bad] == [("all", n) for r, n, _ in NAMED if r == "train"]
    assert len(split.images) == 14
    assert (split.views is None) == short
    if split.views is not None:
        assert split.views.shape == (14, 1, 6, 6)
        wanted = images.source.pixels("train/a/0.png", 1)[2:8, 2:8, 0]
        assert np.array_equal(split.views[0, 0].numpy(), wanted)
    with pytest.raises(UserError, match="3 of 17 images cannot be used"):
        load_split(images, replace(settings, on_bad_image="fail"), preprocess, role="all")


def test_nothing_readable_to_look_at_is_an_error(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / name / "1.jpg", b"")
    settings = settings_of(tmp_path)
    images = open_catalog(settings).splits["all"]
    with pytest.raises(UserError, match="none of 2 images is readable; the first: empty file"):
        load_split(images, settings, Preprocess(8, 8, 3, (0.5,) * 3, (0.2,) * 3), role="all")


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_leaves_the_global_generator_alone(workers: int, tmp_path: Path) -> None:
    write_tree(tmp_path, TREE)
    state = torch.get_rng_state()
    load_from(tmp_path, AugmentSettings(PadCrop(1), flip=True), workers=workers)
    assert torch.equal(torch.get_rng_state(), state)
