"""Small images, folders and archives of them, for tests."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fathom.data.catalog import Catalog, ImageList
from fathom.data.decode import Pixels
from fathom.data.load import Dataset, load_dataset
from fathom.data.settings import AugmentSettings, DataSettings, NoCrop
from fathom.data.sources import Arrays
from fathom.data.split import split_catalog
from fathom.runtime import Runtime

CPU = Runtime(torch.device("cpu"), "float32", 1)
PLAIN = AugmentSettings(NoCrop(), flip=False)


def noise(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> Pixels:
    """(height, width, channels) uint8 of seeded noise."""
    shape = (height, width, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def picture(pixels: Pixels) -> Image.Image:
    """(H, W, C) uint8 -> a Pillow image of mode L, LA, RGB or RGBA."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def encode(image: Image.Image | Pixels, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file in one of Pillow's formats."""
    if not isinstance(image, Image.Image):
        image = picture(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_by_hand(
    width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 0, raw: bytes = b""
) -> bytes:
    """A PNG file whose header says what it likes; raw are filtered rows, chunks go before them."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write(path: Path, data: bytes) -> Path:
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_tree(
    root: Path, counts: Mapping[str, int], *, size: int = 8, channels: int = 3, first: int = 0
) -> Path:
    """root/NAME/0.png, 1.png, ... of different noise, for each NAME and its count."""
    seed = first
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            data = encode(noise(seed, size, size, channels))
            write(root / name / f"{number}.png", data)
            seed += 1
    return root


def pack(root: Path, archive: Path) -> Path:
    """A zip or tar archive of all below root, in the order of the names."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(root.rglob("*")):
                file.write(path, path.relative_to(root))
        return archive
    kind = {".gz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}.get(archive.suffix, "w")
    with tarfile.open(archive, kind) as tar:  # type: ignore[call-overload]
        for path in sorted(root.iterdir()):
            tar.add(path, path.name)
    return archive


def array_catalog(counts: Mapping[str, int], *, size: int = 8, channels: int = 1) -> Catalog:
    """A catalog without a split, of arrays in memory."""
    targets = [i for i, count in enumerate(counts.values()) for _ in range(count)]
    images = np.stack([noise(i, size, size, channels) for i in range(len(targets))])
    keys = tuple(map(str, range(len(targets))))
    return Catalog("made", tuple(counts), {"all": ImageList(Arrays(images), keys, tuple(targets))})


def loaded(
    catalog: Catalog,
    settings: DataSettings | None = None,
    augment: AugmentSettings = PLAIN,
    *,
    image_size: int = 8,
    channels: int = 3,
) -> Dataset:
    """A catalog through split and load, in this process unless the settings say otherwise."""
    settings = settings or DataSettings(workers=0)
    chosen = split_catalog(catalog, settings, choosing=False)
    return load_dataset(chosen, settings, augment, image_size=image_size, channels=channels)
