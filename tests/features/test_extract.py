"""Features against the network itself, run image by image on views made by hand."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import fathom
from fathom.data.catalog import find_images
from fathom.data.load import BadImage, Split
from fathom.data.settings import DataSettings, ResizedCrop
from fathom.data.views import centre_view, random_resized_view
from fathom.errors import UserError
from fathom.features.extract import Features, Looks, balanced_order, extract, gather
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import derive_seed
from tests.images import CPU, encode, noise, write, write_tree

VIEW = Preprocess(32, 36, 3, (0.5,) * 3, (0.25,) * 3, "bicubic")


@pytest.fixture(scope="module")
def model() -> ImageClassifier:
    torch.manual_seed(0)
    return fathom.create_model("cifar_resnet20", num_classes=7).eval()


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Seven and four pictures of 40 pixels, one of the latter broken."""
    root = write_tree(tmp_path / "pets", {"cats": 7, "dogs": 4}, size=40)
    write(root / "dogs" / "2.png", b"nothing")
    images = find_images(DataSettings(source=str(root))).splits["all"]
    return Split(images, None)


def features(model: ImageClassifier, split: Split, looks: Looks, workers: int = 0) -> Features:
    return gather(list(extract(model, split, VIEW, looks, runtime=CPU, workers=workers)))


def pixels(split: Split, position: int, number: int, looks: Looks) -> Tensor:
    """View `number` of an image, (C, S, S) uint8, as its definition says."""
    picture = split.images.source.pixels(split.images.keys[position], 3)
    centre = centre_view(picture, 32, 36, "bicubic")
    if number == 0:
        return centre
    if number == 1 and looks.flip:
        return centre.flip(2)
    rng = random.Random(derive_seed(looks.seed, "view", number, position))
    crop = random_resized_view(picture, 32, "bicubic", crop=ResizedCrop(0.5), rng=rng)
    return crop.flip(2) if looks.flip and rng.random() < 0.5 else crop


@pytest.mark.parametrize("looks", [Looks(), Looks(4, flip=True, seed=3), Looks(3, logits=True)])
def test_rows_are_what_the_classifier_is_given(
    model: ImageClassifier, split: Split, looks: Looks
) -> None:
    found = features(model, split, looks)
    assert (found.views, found.num_images, len(found.values)) == (looks.views, 10, 10 * looks.views)
    given_to: list[Tensor] = []
    hook = model.classifiers()[0].register_forward_pre_hook(lambda _, x: given_to.append(x[0]))
    for row, position in enumerate(found.positions.tolist()):
        view = pixels(split, position, row // 10, looks)
        with torch.no_grad():
            images = VIEW.normalise(view[None])
            logits, maps = model(images), model.features(images)
        torch.testing.assert_close(found.values[row], given_to[-1][0], rtol=1e-4, atol=1e-5)
        for stage, feature_map in zip(found.stages, maps, strict=True):
            average = feature_map[0].flatten(1).mean(1)
            torch.testing.assert_close(stage[row], average, rtol=1e-4, atol=1e-5)
        assert (found.logits is not None) == looks.logits
        if found.logits is not None:
            torch.testing.assert_close(found.logits[row], logits[0], rtol=1e-4, atol=1e-5)
    hook.remove()
    assert torch.equal(found.targets, split.targets[found.positions])
    assert torch.equal(found.positions, found.positions[:10].repeat(looks.views))
    assert [image.name for image in found.bad] == ["dogs/2.png"]


def test_a_broken_file_is_named_with_its_split(model: ImageClassifier, split: Split) -> None:
    parts = extract(model, split, VIEW, runtime=CPU, role="val")
    assert gather(list(parts)).bad == (BadImage("val", "dogs/2.png", "not an image"),)


def test_views_in_memory_are_used_where_no_crops_are_wanted(
    model: ImageClassifier, split: Split
) -> None:
    usable = split.images.take([i for i in range(11) if split.images.keys[i] != "dogs/2.png"])
    views = torch.stack([pixels(Split(usable, None), i, 0, Looks()) for i in range(10)])
    for looks in (Looks(), Looks(2, flip=True), Looks(3, flip=True), Looks(2)):
        decoded = features(model, Split(usable, None), looks)
        held = features(model, Split(usable, views), looks)
        assert torch.equal(held.values, decoded.values)
        black = features(model, Split(usable, torch.zeros_like(views)), looks)
        assert torch.equal(black.values, decoded.values) == (not looks.centred)


def test_processes_and_threads_see_the_same(model: ImageClassifier, split: Split) -> None:
    looks = Looks(3, flip=True)
    here, there = (features(model, split, looks, workers=workers) for workers in (0, 1))
    assert torch.equal(here.values, there.values)
    assert here.bad == there.bad


def test_parts_are_a_prefix_that_can_be_gone_on_from(model: ImageClassifier, split: Split) -> None:
    looks = Looks(16, seed=1)  # two pictures at a time
    whole = list(extract(model, split, VIEW, looks, runtime=CPU))
    assert len(whole) == 6
    first = list(itertools.islice(extract(model, split, VIEW, looks, runtime=CPU), 3))
    done = sum(part.num_images + len(part.bad) for part in first)
    rest = list(extract(model, split, VIEW, looks, runtime=CPU, start=done))
    together, expected = gather(first + rest), gather(whole)
    assert torch.equal(together.positions, expected.positions)
    torch.testing.assert_close(together.values, expected.values)


def test_gathered_features_can_be_learnt_on(model: ImageClassifier, split: Split) -> None:
    found = features(model, split, Looks(logits=True))
    for tensor in (found.values, found.logits, *found.stages):
        assert tensor is not None
        assert not tensor.is_inference()
        assert not tensor.requires_grad
    nn.Linear(found.values.shape[1], 2)(found.values).sum().backward()


def test_no_readable_image_is_an_error(model: ImageClassifier, tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "d" / "cats" / f"{number}.png", b"nothing")
    images = find_images(DataSettings(source=str(tmp_path / "d"))).splits["all"]
    parts = list(extract(model, Split(images, None), VIEW, runtime=CPU))
    with pytest.raises(UserError, match=r"none of 3 images is readable; the first: cats/"):
        gather(parts)


def test_parts_of_broken_files_alone_do_no_harm(model: ImageClassifier, tmp_path: Path) -> None:
    for number in range(5):
        data = encode(noise(number)) if number == 4 else b"nothing"
        write(tmp_path / "d" / "cats" / f"{number}.png", data)
    images = find_images(DataSettings(source=str(tmp_path / "d"))).splits["all"]
    parts = list(extract(model, Split(images, None), VIEW, Looks(32), runtime=CPU))
    assert sorted(part.num_images for part in parts) == [0, 0, 0, 0, 1]
    found = gather(parts)
    assert (set(found.positions.tolist()), len(found.bad)) == ({4}, 4)


def test_no_views_are_refused() -> None:
    with pytest.raises(UserError, match="views is 0"):
        Looks(0)


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(0, 5), min_size=1, max_size=60), st.integers(0, 9))
def test_every_prefix_of_the_order_is_balanced(targets: list[int], seed: int) -> None:
    order = balanced_order(targets, seed).tolist()
    assert sorted(order) == list(range(len(targets)))
    left, seen = Counter(targets), Counter[int]()
    for position in order:
        label = targets[position]
        waiting = [seen[other] for other in left if left[other]]
        assert seen[label] == min(waiting)
        seen[label] += 1
        left[label] -= 1


def test_the_order_depends_on_the_seed_alone() -> None:
    targets = [0] * 30 + [1] * 30
    first = balanced_order(targets, 1)
    assert torch.equal(first, balanced_order(targets, 1))
    assert not torch.equal(first, balanced_order(targets, 2))
