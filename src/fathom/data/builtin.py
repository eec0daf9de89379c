"""Built-in data sets: scikit-learn's digits, offline, and torchvision's classification sets.

torchvision's are downloaded on first use, with its checksums, into `--data-dir` (by default
`~/.cache/fathom`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fathom.data.decode import BadImageError, Header, Pixels, from_pillow
from fathom.data.sources import Arrays, Source
from fathom.errors import UserError


@dataclass(frozen=True)
class BuiltinSet:
    """How torchvision names a set, and which of its splits plays which role.

    arguments: role -> constructor arguments. flip_safe: whether a mirrored image keeps its class.
    """

    cls: str
    arguments: Mapping[str, Mapping[str, Any]]
    flip_safe: bool = True


_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST = {"train": {"split": "train"}, "test": {"split": "test"}}
_THREE = {**_TRAIN_TEST, "val": {"split": "val"}}
_TRAINVAL = {"train": {"split": "trainval"}, "test": {"split": "test"}}

BUILTIN: Mapping[str, BuiltinSet] = {
    "digits": BuiltinSet("", {}, flip_safe=False),
    "mnist": BuiltinSet("MNIST", _TRAIN_FLAG, flip_safe=False),
    "fashion-mnist": BuiltinSet("FashionMNIST", _TRAIN_FLAG),
    "kmnist": BuiltinSet("KMNIST", _TRAIN_FLAG, flip_safe=False),
    "usps": BuiltinSet("USPS", _TRAIN_FLAG, flip_safe=False),
    "cifar10": BuiltinSet("CIFAR10", _TRAIN_FLAG),
    "cifar100": BuiltinSet("CIFAR100", _TRAIN_FLAG),
    "svhn": BuiltinSet("SVHN", _TRAIN_TEST, flip_safe=False),
    "stl10": BuiltinSet("STL10", _TRAIN_TEST),
    "caltech101": BuiltinSet("Caltech101", {"all": {}}),
    "caltech256": BuiltinSet("Caltech256", {"all": {}}),
    "eurosat": BuiltinSet("EuroSAT", {"all": {}}),
    "country211": BuiltinSet(
        "Country211",
        {"train": {"split": "train"}, "val": {"split": "valid"}, "test": {"split": "test"}},
    ),
    "dtd": BuiltinSet("DTD", _THREE),
    "fgvc-aircraft": BuiltinSet("FGVCAircraft", _THREE),
    "flowers102": BuiltinSet("Flowers102", _THREE),
    "food101": BuiltinSet("Food101", _TRAIN_TEST),
    "gtsrb": BuiltinSet("GTSRB", _TRAIN_TEST, flip_safe=False),
    "imagenette": BuiltinSet("Imagenette", {"train": {"split": "train"}, "val": {"split": "val"}}),
    "oxford-iiit-pet": BuiltinSet("OxfordIIITPet", _TRAINVAL),
    "rendered-sst2": BuiltinSet("RenderedSST2", _THREE, flip_safe=False),
    "sun397": BuiltinSet("SUN397", {"all": {}}),
}


@dataclass(frozen=True)
class Loaded:
    """Class names, and for each role a source with the class index of each of its images."""

    class_names: tuple[str, ...]
    splits: Mapping[str, tuple[Source, tuple[int, ...]]]


class TorchvisionItems:
    """A torchvision data set that decodes as it is asked; keys are indices as text."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def size(self, key: str) -> int:
        return 0  # torchvision does not say

    def checksum(self, key: str, *, whole: bool) -> int:
        return 0  # torchvision's own checksums already vouch for the files

    def header(self, key: str) -> Header:
        image = self._image(key)
        return Header(image.width, image.height, 1 if image.mode in ("1", "L") else 3)

    def pixels(self, key: str, channels: int) -> Pixels:
        return from_pillow(self._image(key), channels)

    def _image(self, key: str) -> Image.Image:
        try:
            image: Image.Image = self.dataset[int(key)][0]
            image.load()
        except Exception as error:  # a file that has gone, or was damaged after its checksum
            raise BadImageError(f"unreadable ({error})") from error
        return image


def load_builtin(name: str, data_dir: str | None) -> Loaded:
    """Load a built-in set, downloading torchvision's where it is not there yet.

    Raises UserError when it can be neither found nor downloaded.
    """
    if name == "digits":
        return _digits()
    from torchvision import datasets  # two seconds that a folder of images need not wait for

    entry = BUILTIN[name]
    root = Path(data_dir).expanduser() if data_dir else Path.home() / ".cache" / "fathom"
    splits: dict[str, tuple[Source, tuple[int, ...]]] = {}
    names: tuple[str, ...] = ()
    for role, arguments in entry.arguments.items():
        dataset = _find_or_download(getattr(datasets, entry.cls), name, root, arguments)
        splits[role] = _split_of(dataset)
        names = names or _class_names(dataset, splits[role][1])
    return Loaded(names, splits)


def _find_or_download(cls: Any, name: str, root: Path, arguments: Mapping[str, Any]) -> Any:
    try:
        return cls(str(root), download=False, **arguments)
    except Exception:  # not there yet, or damaged, which shows as almost anything
        pass
    try:
        root.mkdir(parents=True, exist_ok=True)
        return cls(str(root), download=True, **arguments)
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{name} is not in {root}, or damaged, and could not be downloaded ({reason}); fetch "
            "it where there is a network and name its folder with --data-dir"
        ) from error


def _digits() -> Loaded:
    """1,797 handwritten digits of 8x8 pixels with 17 grays (UCI, Alpaydin and Kaynak 1998)."""
    from sklearn.datasets import load_digits

    raw = load_digits()
    images = np.rint(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    targets = tuple(int(t) for t in raw.target)
    return Loaded(tuple(map(str, range(10))), {"all": (Arrays(images), targets)})


def _split_of(dataset: Any) -> tuple[Source, tuple[int, ...]]:
    """One split as a source and targets; straight from its array where it keeps one."""
    targets = _targets(dataset)
    data = getattr(dataset, "data", None)
    if data is None:
        return TorchvisionItems(dataset), targets
    array = np.asarray(data)
    if array.ndim == 3:
        array = array[..., None]
    elif array.shape[1] == 3 and array.shape[3] != 3:  # SVHN and STL10 keep channels first
        array = array.transpose(0, 2, 3, 1)
    return Arrays(np.ascontiguousarray(array)), targets


def _targets(dataset: Any) -> tuple[int, ...]:
    """Class indices without decoding an image, by whichever name the set keeps them."""
    for name in ("targets", "labels", "_labels", "y"):
        values = getattr(dataset, name, None)
        if values is not None:
            return tuple(int(v) for v in values)
    samples = getattr(dataset, "_samples", None)
    if samples is not None:
        return tuple(int(target) for _, target in samples)
    return tuple(int(dataset[i][1]) for i in range(len(dataset)))


def _class_names(dataset: Any, targets: tuple[int, ...]) -> tuple[str, ...]:
    known = getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    count = max(targets) + 1
    names = [n[0] if isinstance(n, tuple) else str(n) for n in known or []]
    if len(names) != count:
        names = [str(i) for i in range(count)]
    return tuple(names)
