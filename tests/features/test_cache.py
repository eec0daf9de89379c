"""Features that were computed once are not computed again, and never wrong."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fathom
from fathom.data.catalog import find_images
from fathom.data.load import Split
from fathom.data.settings import DataSettings
from fathom.features.cache import Cache, cached, fingerprint
from fathom.features.extract import Features, Looks, extract, gather
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime
from tests.images import CPU, encode, noise, write, write_tree

VIEW = Preprocess(32, 36, 3, (0.5,) * 3, (0.25,) * 3, "bicubic")
LOOKS = Looks(16, flip=True, logits=True)  # two pictures at a time


@pytest.fixture(scope="module")
def model() -> ImageClassifier:
    torch.manual_seed(0)
    return fathom.create_model("cifar_resnet20", num_classes=7).eval()


@pytest.fixture
def split(tmp_path: Path) -> Split:
    root = write_tree(tmp_path / "pets", {"cats": 6, "dogs": 4}, size=40)
    write(root / "dogs" / "2.png", b"nothing")
    return Split(find_images(DataSettings(source=str(root))).splits["all"], None)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each part had that was really computed."""
    counts: list[int] = []

    def counting(*args: object, **options: object) -> Iterator[Features]:
        for part in extract(*args, **options):  # type: ignore[arg-type]
            counts.append(part.num_images + len(part.bad))
            yield part

    monkeypatch.setattr("fathom.features.cache.extract", counting)
    return counts


def run(model: ImageClassifier, split: Split, cache: Cache, most: int = 99) -> Features:
    with closing(cached(model, split, VIEW, LOOKS, runtime=CPU, cache=cache)) as parts:
        return gather(list(itertools.islice(parts, most)))


def same(one: Features, other: Features) -> bool:
    """Whether two features agree to the last bit."""
    assert one.logits is not None
    assert other.logits is not None
    pairs = [
        (one.values, other.values),
        (one.logits, other.logits),
        (one.targets, other.targets),
        (one.positions, other.positions),
        *zip(one.stages, other.stages, strict=True),
    ]
    return all(torch.equal(a, b) for a, b in pairs) and (one.views, one.bad) == (
        other.views,
        other.bad,
    )


def test_the_second_time_nothing_is_computed(
    model: ImageClassifier, split: Split, cache: Cache, computed: list[int]
) -> None:
    plain = gather(list(extract(model, split, VIEW, LOOKS, runtime=CPU)))
    first = run(model, split, cache)
    assert sum(computed) == 10
    second = run(model, split, cache)
    assert sum(computed) == 10
    assert same(first, plain)
    assert same(second, plain)
    (file,) = cache.folder.iterdir()
    assert cache.size == file.stat().st_size


def test_what_was_cut_off_is_gone_on_with(
    model: ImageClassifier, split: Split, cache: Cache, computed: list[int]
) -> None:
    assert run(model, split, cache, most=2).num_images == 4
    whole = run(model, split, cache)
    assert computed == [2] * 5
    assert same(whole, run(model, split, cache))
    plain = gather(list(extract(model, split, VIEW, LOOKS, runtime=CPU)))
    assert torch.equal(whole.positions, plain.positions)
    torch.testing.assert_close(whole.values, plain.values)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other"])
def test_a_damaged_file_is_computed_anew(
    damage: str, model: ImageClassifier, split: Split, cache: Cache, computed: list[int]
) -> None:
    good = run(model, split, cache)
    (file,) = cache.folder.iterdir()
    data = bytearray(file.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
    wrong = {"cut": bytes(data[:-7]), "flip": bytes(data), "empty": b"", "other": b"x" * 99}
    file.write_bytes(wrong[damage])
    assert same(run(model, split, cache), good)
    assert sum(computed) == 20
    assert same(run(model, split, cache), good)
    assert sum(computed) == 20


def test_what_features_follow_from_is_in_the_key(model: ImageClassifier, split: Split) -> None:
    def key(
        model: ImageClassifier = model,
        split: Split = split,
        view: Preprocess = VIEW,
        looks: Looks = LOOKS,
        runtime: Runtime = CPU,
    ) -> str:
        return fingerprint(model, split.images, view, looks, runtime)

    first = key()
    torch.manual_seed(1)
    other = fathom.create_model("cifar_resnet20", num_classes=7).eval()
    images = split.images
    changed = [
        key(model=other),
        key(split=Split(images.take(range(9)), None)),
        key(split=Split(replace(images, targets=(1, *images.targets[1:])), None)),
        key(view=VIEW.at(28)),
        key(view=replace(VIEW, mean=(0.4,) * 3)),
        key(looks=replace(LOOKS, views=2)),
        key(looks=replace(LOOKS, seed=1)),
        key(runtime=replace(CPU, precision="bfloat16")),
    ]
    assert key() == first
    root = split.images.source.root  # type: ignore[attr-defined]
    write(root / "cats" / "0.png", encode(noise(99, 40, 40)))
    changed.append(key())
    assert len({first, *changed}) == 1 + len(changed)


def test_one_weight_is_enough(model: ImageClassifier, split: Split) -> None:
    before = fingerprint(model, split.images, VIEW, LOOKS, CPU)
    (last,) = model.classifiers()
    with torch.no_grad():
        last.bias[0] += 1
    after = fingerprint(model, split.images, VIEW, LOOKS, CPU)
    with torch.no_grad():
        last.bias[0] -= 1
    assert before != after


def test_the_least_recently_used_go(tmp_path: Path, model: ImageClassifier, split: Split) -> None:
    found = gather(list(extract(model, split, VIEW, Looks(), runtime=CPU)))
    Cache(tmp_path / "one").write("a", found)
    size = Cache(tmp_path / "one").size
    cache = Cache(tmp_path / "many", limit=3 * size)
    for number, name in enumerate("abc"):
        cache.write(name, found)
        os.utime(cache.folder / f"{name}.features", (number, number))
    assert cache.read("a", "all") is not None  # used again
    cache.write("d", found)
    assert {file.stem for file in cache.folder.iterdir()} == {"a", "c", "d"}
    assert cache.size <= cache.limit
    small = Cache(tmp_path / "small", limit=size - 1)
    small.write("a", found)
    assert small.size == 0


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, model: ImageClassifier, split: Split
) -> None:
    cache = Cache(write(tmp_path / "file", b"in the way") / "below")
    assert run(model, split, cache).num_images == 9
    assert run(model, split, cache).num_images == 9


def test_bad_files_bear_the_name_of_the_split_that_asks(
    model: ImageClassifier, split: Split, cache: Cache
) -> None:
    run(model, split, cache)
    parts = cached(model, split, VIEW, LOOKS, runtime=CPU, cache=cache, role="val")
    (bad,) = gather(list(parts)).bad
    assert (bad.split, bad.name, bad.reason) == ("val", "dogs/2.png", "not an image")
