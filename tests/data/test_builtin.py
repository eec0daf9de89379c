"""Built-in sets: the table fits torchvision, and a set is found, downloaded, or missed in words."""

from __future__ import annotations

import hashlib
import inspect
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torchvision import datasets

from fathom.data.builtin import BUILTIN, TorchvisionItems, load_builtin
from fathom.data.catalog import find_images, open_catalog
from fathom.data.decode import BadImageError
from fathom.data.settings import DataSettings
from fathom.data.sources import Arrays
from fathom.errors import UserError
from tests.images import encode, loaded, noise, write, write_tree

PRESENT = {name: entry for name, entry in BUILTIN.items() if name != "digits"}


def test_digits_are_whole_and_offline() -> None:
    catalog = open_catalog(DataSettings(source="digits"))
    images = catalog.splits["all"]
    source = images.source
    assert isinstance(source, Arrays)
    pixels = np.asarray(source.images)
    assert pixels.shape == (1797, 8, 8, 1)
    assert (pixels.min(), pixels.max()) == (0, 255)
    raw = load_digits()
    assert np.abs(pixels[..., 0] / 255 - raw.images / 16).max() < 0.002
    assert images.targets == tuple(raw.target)
    assert images.keys == tuple(map(str, range(1797)))
    assert catalog.class_names == tuple("0123456789")
    assert catalog.flip_safe is False
    summary = catalog.summary()
    assert (summary.width, summary.height, summary.channels) == (8, 8, 1)


@pytest.mark.parametrize("name", PRESENT)
def test_the_table_names_what_torchvision_has(name: str) -> None:
    entry = PRESENT[name]
    parameters = inspect.signature(getattr(datasets, entry.cls)).parameters
    assert {"root", "download"} <= set(parameters)
    assert set(entry.arguments) == {"all"} or "train" in entry.arguments
    for role, arguments in entry.arguments.items():
        assert role in ("train", "val", "test", "all")
        for key, value in arguments.items():
            assert type(parameters[key].default) is type(value)


@pytest.mark.parametrize("name", PRESENT)
def test_a_set_that_cannot_be_had_says_what_to_do(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision accepts the arguments of the table, looks, finds nothing, and has no network."""

    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network in tests")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    with pytest.raises(UserError, match=r"could not be downloaded \(.+\).*--data-dir") as error:
        load_builtin(name, str(tmp_path))
    assert str(error.value).startswith(f"{name} is not in {tmp_path}")
    assert "argument" not in str(error.value)


def cifar_archive(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """folder/cifar.tar.gz of five training batches and a test batch of 10 images each, which
    CIFAR10 then takes for its own. Returns the (50, 32, 32, 3) and (10, 32, 32, 3) images."""
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, (60, 3072), dtype=np.uint8)
    files = {"batches.meta": {"label_names": [f"name {i}" for i in range(10)]}}
    labels = [7 * i % 10 for i in range(60)]
    for batch in range(6):
        place = slice(10 * batch, 10 * batch + 10)
        name = f"data_batch_{batch + 1}" if batch < 5 else "test_batch"
        files[name] = {"data": rows[place], "labels": labels[place]}  # type: ignore[dict-item]
    contents = {name: pickle.dumps(value) for name, value in files.items()}
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as tar:
        for name, data in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    sums = {name: hashlib.md5(data).hexdigest() for name, data in contents.items()}
    packed = hashlib.md5((folder / "cifar.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setattr(datasets.CIFAR10, "filename", "cifar.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", packed)
    train = [[name, sums[name]] for name in files if name.startswith("data")]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images[:50], images[50:]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of this folder on the loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_cifar10_is_downloaded_once_into_data_dir(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site, data_dir = tmp_path / "site", tmp_path / "new" / "data"
    site.mkdir()
    train, test = cifar_archive(site, monkeypatch)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    settings = DataSettings(source="cifar10", data_dir=str(data_dir))
    with served(site) as address:
        monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/cifar.tar.gz")
        first = open_catalog(settings)
    second = open_catalog(settings)  # without the server
    for catalog in (first, second):
        assert list(catalog.splits) == ["train", "test"]
        assert catalog.class_names == tuple(f"name {i}" for i in range(10))
        assert catalog.flip_safe is True
        for role, images in (("train", train), ("test", test)):
            found = catalog.splits[role]
            assert isinstance(found.source, Arrays)
            assert np.array_equal(found.source.images, images)
        assert catalog.splits["train"].targets == tuple(7 * i % 10 for i in range(50))
        assert catalog.splits["test"].targets == tuple(7 * i % 10 for i in range(10))


def test_a_download_of_the_wrong_bytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cifar_archive(tmp_path, monkeypatch)
    archive = tmp_path / "cifar.tar.gz"
    archive.write_bytes(archive.read_bytes()[:-10] + bytes(10))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(tmp_path) as address:
        monkeypatch.setattr(datasets.CIFAR10, "url", f"{address}/cifar.tar.gz")
        with pytest.raises(UserError, match=r"cifar10 is not in .*corrupted"):
            load_builtin("cifar10", str(tmp_path / "data"))


def idx(values: NDArray[np.uint8]) -> bytes:
    """The format of MNIST: a magic number, the sizes, the bytes."""
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def write_fashion(root: Path) -> dict[str, NDArray[np.uint8]]:
    images = {}
    for role, prefix, count in (("train", "train", 30), ("test", "t10k", 20)):
        raw = root / "FashionMNIST" / "raw"
        images[role] = np.stack([noise(count + i, 28, 28, 1)[..., 0] for i in range(count)])
        labels = np.arange(count, dtype=np.uint8) % 10
        write(raw / f"{prefix}-images-idx3-ubyte", idx(images[role]))
        write(raw / f"{prefix}-labels-idx1-ubyte", idx(labels))
    return images


def test_fashion_mnist_is_read_where_it_lies(tmp_path: Path) -> None:
    images = write_fashion(tmp_path)
    catalog = open_catalog(DataSettings(source="fashion-mnist", data_dir=str(tmp_path)))
    assert catalog.class_names[0] == "T-shirt/top"
    assert catalog.summary().channels == 1
    for role, wanted in images.items():
        found = catalog.splits[role]
        assert found.targets == tuple(i % 10 for i in range(len(wanted)))
        assert np.array_equal(found.source.pixels("7", 1)[..., 0], wanted[7])


def test_the_default_place_is_a_cache_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_fashion(tmp_path / ".cache" / "fathom")
    assert len(load_builtin("fashion-mnist", None).splits["test"][1]) == 20


def test_damaged_local_files_are_the_users_to_mend(tmp_path: Path) -> None:
    write_fashion(tmp_path)
    for path in tmp_path.rglob("train-images*"):
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"fashion-mnist is not in .*, or damaged"):
        load_builtin("fashion-mnist", str(tmp_path))


def test_a_set_of_files_is_decoded_as_it_is_asked(tmp_path: Path) -> None:
    names = ["AnnualCrop", "Forest", "River"]
    folder = tmp_path / "eurosat" / "2750"
    write_tree(folder, dict.fromkeys(names, 4))
    catalog = find_images(DataSettings(source="eurosat", data_dir=str(tmp_path)))
    images = catalog.splits["all"]
    assert isinstance(images.source, TorchvisionItems)
    assert catalog.class_names == tuple(names)
    assert images.targets == tuple(sorted([0, 1, 2] * 4))
    assert np.array_equal(images.source.pixels("5", 3), noise(5))
    assert images.source.header("5").channels == 3
    write(folder / "Forest" / "1.png", b"nothing")
    (folder / "River" / "0.png").unlink()
    for key in ("5", "8"):
        with pytest.raises(BadImageError, match="unreadable"):
            images.source.pixels(key, 3)
        with pytest.raises(BadImageError, match="unreadable"):
            images.source.header(key)
    assert {bad.name for bad in loaded(catalog).bad} == {"5", "8"}


def test_the_first_of_several_names_of_a_class_is_shown(tmp_path: Path) -> None:
    known = datasets.Imagenette._WNID_TO_CLASS
    for split in ("train", "val"):
        for place, word in enumerate(sorted(known)):
            data = encode(noise(place), "JPEG")
            write(tmp_path / "imagenette2" / split / word / "a.JPEG", data)
    found = load_builtin("imagenette", str(tmp_path))
    assert found.class_names == tuple(known[word][0] for word in sorted(known))
    assert found.splits["val"][1] == tuple(range(10))


CHANNELS_FIRST = np.stack([noise(i, 4, 5, 3).transpose(2, 0, 1) for i in range(6)])


@pytest.mark.parametrize("field", ["targets", "labels", "_labels", "y", "_samples", ""])
@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_targets_are_found_under_every_name(
    field: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in SVHN and STL10, whose arrays keep their channels first and which have no names."""

    class Made:
        def __init__(self, root: str, *, train: bool, download: bool) -> None:
            self.data = CHANNELS_FIRST
            values = [2, 0, 1, 1, 0, 2]
            if field == "_samples":
                self._samples = [("path", target) for target in values]
            elif field:
                setattr(self, field, kind(values))

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[None, int]:
            return None, [2, 0, 1, 1, 0, 2][index]

    monkeypatch.setattr(datasets, "MNIST", Made)
    found = load_builtin("mnist", None)
    source, targets = found.splits["train"]
    assert targets == (2, 0, 1, 1, 0, 2)
    assert all(type(target) is int for target in targets)
    assert found.class_names == ("0", "1", "2")
    assert np.array_equal(source.pixels("3", 3), noise(3, 4, 5, 3))


def test_items_of_another_kind_than_images_are_bad() -> None:
    items = TorchvisionItems([(SimpleNamespace(), 0)])
    assert items.size("0") == 0
    with pytest.raises(BadImageError, match="unreadable"):
        items.pixels("0", 3)
