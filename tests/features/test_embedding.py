"""Rows of an embedding: every usable image of every split, named, in order."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import fathom
from fathom.data.load import Split
from fathom.data.settings import DataSettings
from fathom.errors import UserError
from fathom.features.backbone import Backbone
from fathom.features.cache import Cache
from fathom.features.embedding import Embedding, Progress, embed
from fathom.features.extract import Looks, extract, gather
from tests.images import CPU, encode, noise, write, write_tree


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """A small network with seeded weights, for images of 32 pixels."""
    torch.manual_seed(0)
    file = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(fathom.create_model("cifar_resnet20", num_classes=7).state_dict(), file)
    return Backbone("cifar_resnet20", str(file))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two splits of two classes; one file is broken."""
    root = tmp_path / "pets"
    write_tree(root / "train", {"cats": 5, "dogs": 4}, size=40)
    write_tree(root / "test", {"cats": 2, "dogs": 2}, size=40, first=50)
    write(root / "train" / "dogs" / "0.png", b"nothing")
    return root


def result(stream: Iterator[Progress | Embedding]) -> tuple[list[Progress], Embedding]:
    *progress, last = stream
    assert isinstance(last, Embedding)
    return [p for p in progress if isinstance(p, Progress)], last


def test_every_image_has_a_row(pets: Path, backbone: Backbone) -> None:
    progress, found = result(embed(DataSettings(str(pets)), backbone, device="cpu"))
    names = [f"cats/{i}.png" for i in range(5)] + [f"dogs/{i}.png" for i in range(1, 4)]
    assert found.paths[:8] == tuple(f"train/{name}" for name in names)
    assert found.splits == ("train",) * 8 + ("test",) * 4
    assert [found.label(row) for row in range(12)] == [path.split("/")[1] for path in found.paths]
    assert [(image.split, image.name) for image in found.bad] == [("train", "train/dogs/0.png")]
    assert progress[-1].done == progress[-1].total == 13
    assert progress[-1].seconds_left == 0


@pytest.mark.parametrize("views", [1, 3])
def test_a_row_is_the_mean_of_its_views(pets: Path, backbone: Backbone, views: int) -> None:
    _, found = result(embed(DataSettings(str(pets)), backbone, views=views, device="cpu"))
    images = fathom.data.catalog.find_images(DataSettings(str(pets))).splits["test"]
    looks = Looks(views, flip=views > 1, stages=False)
    model = backbone.build()
    assert model.preprocess is not None
    parts = extract(model, Split(images, None), model.preprocess, looks, runtime=CPU)
    one = gather(list(parts))
    for place, position in enumerate(one.positions[:4].tolist()):
        expected = one.values[place::4].mean(0)
        torch.testing.assert_close(found.values[8 + position], expected)


def test_what_may_not_be_mirrored_is_not(backbone: Backbone, tmp_path: Path) -> None:
    gray = write_tree(tmp_path / "gray", {"a": 3}, size=40, channels=1)
    colour = write_tree(tmp_path / "colour", {"a": 3}, size=40)
    for root, mirrored in ((gray, False), (colour, True)):
        settings = DataSettings(str(root))
        _, one = result(embed(settings, backbone, device="cpu"))
        _, two = result(embed(settings, backbone, views=2, device="cpu"))
        images = fathom.data.catalog.find_images(settings).splits["all"]
        model = backbone.build()
        assert model.preprocess is not None
        looks = Looks(2, flip=mirrored)
        parts = extract(model, Split(images, None), model.preprocess, looks, runtime=CPU)
        rows = gather(list(parts))
        expected = torch.stack([rows.values[rows.positions == i].mean(0) for i in range(3)])
        torch.testing.assert_close(two.values, expected)
        assert not torch.allclose(one.values, two.values)


def test_another_size(pets: Path, backbone: Backbone) -> None:
    _, found = result(embed(DataSettings(str(pets)), backbone, image_size=16, device="cpu"))
    model = backbone.build()
    assert model.preprocess is not None
    assert found.preprocess == model.preprocess.at(16)
    with pytest.raises(UserError, match="image_size is 0"):
        next(embed(DataSettings(str(pets)), backbone, image_size=0))


def test_one_class_is_enough(backbone: Backbone, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "one", {"cats": 3})
    _, found = result(embed(DataSettings(str(root)), backbone, device="cpu"))
    assert (found.class_names, len(found.values)) == (("cats",), 3)


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_pictures_without_classes(kind: str, backbone: Backbone, tmp_path: Path) -> None:
    root = tmp_path / "loose"
    for number in range(3):
        write(root / f"{number}.png", encode(noise(number, 40, 40)))
    write(root / "notes.txt", b"hello")
    write(root / ".hidden.png", b"x")
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "loose.zip", "w") as archive:
            for file in sorted(root.iterdir()):
                archive.write(file, file.name)
        root = tmp_path / "loose.zip"
    _, found = result(embed(DataSettings(str(root)), backbone, device="cpu"))
    assert (found.data, found.class_names, found.bad) == ("loose", (), ())
    assert found.paths == ("0.png", "1.png", "2.png")
    assert found.splits == ("all",) * 3
    assert found.label(0) is None


def test_a_folder_without_pictures_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    write(tmp_path / "notes.txt", b"hello")
    with pytest.raises(UserError, match="no images in class folders"):
        next(embed(DataSettings(str(tmp_path)), backbone))


def test_broken_files_can_stop_it(pets: Path, backbone: Backbone) -> None:
    settings = DataSettings(str(pets), on_bad_image="fail")
    with pytest.raises(UserError, match=r"train/dogs/0.png cannot be used: not an image"):
        list(embed(settings, backbone, device="cpu"))


def test_the_cache_gives_the_same(pets: Path, backbone: Backbone, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    settings = DataSettings(str(pets))
    plain = result(embed(settings, backbone, device="cpu"))[1]
    for _ in range(2):
        progress, found = result(embed(settings, backbone, device="cpu", cache=cache))
        assert torch.equal(found.values, plain.values)
        assert found.bad == plain.bad
    assert [p.done for p in progress] == [9, 13]
    assert cache.size > 0


def test_checksums_tell_copies(backbone: Backbone, tmp_path: Path) -> None:
    root = write_tree(tmp_path / "twins", {"cats": 2})
    write(root / "cats" / "2.png", (root / "cats" / "0.png").read_bytes())
    _, found = result(embed(DataSettings(str(root)), backbone, device="cpu"))
    assert found.checksum(0) == found.checksum(2) != found.checksum(1)
    (root / "cats" / "1.png").unlink()
    assert found.checksum(1) is None
