"""Features on disk, so that nothing is computed twice.

A file is known by everything that its features follow from: the weights, the images and their
order, what is computed of them, where and how precisely. It holds tensors in the safetensors format
and, behind them, the SHA-256 of all that; a file that does not fit it is computed anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from fathom.costs.latency import cache_file
from fathom.data.catalog import ImageList
from fathom.data.decode import BadImageError
from fathom.data.load import AUDIT_LIMIT, BadImage, Split
from fathom.features.extract import Features, Looks, extract, gather
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import Runtime
from fathom.version import __version__

LIMIT = 2 * 2**30
_DIGEST = hashlib.sha256().digest_size


class Cache:
    """A folder of features, features/ in the user's cache folder for Fathom unless named.

    limit: bytes that it may hold; beyond, the files that were used least recently go. A folder that
    cannot be written is done without.
    """

    def __init__(self, folder: Path | None = None, *, limit: int = LIMIT) -> None:
        self.folder = cache_file().parent / "features" if folder is None else folder
        self.limit = limit

    @property
    def size(self) -> int:
        """Bytes that the folder holds."""
        return sum(size for _, size, _ in self._files())

    def read(self, key: str, role: str) -> Features | None:
        """What is kept under a key, None where that is nothing or damaged.

        role: the split that its bad files are said to be of.
        """
        file = self._file(key)
        try:
            stored = file.read_bytes()
            os.utime(file)
        except OSError:
            return None
        data, digest = stored[:-_DIGEST], stored[-_DIGEST:]
        return _unpacked(data, role) if hashlib.sha256(data).digest() == digest else None

    def write(self, key: str, features: Features) -> None:
        """Keep features under a key: written beside, then renamed, so that a file is whole or old.

        Features larger than the limit are not kept.
        """
        data = _packed(features)
        if len(data) + _DIGEST > self.limit:
            return
        file = self._file(key)
        beside = file.with_name(f"{file.name}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data + hashlib.sha256(data).digest())
            beside.replace(file)
        except OSError:
            with suppress(OSError):
                beside.unlink()
            return
        self._sweep()

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.features"

    def _files(self) -> list[tuple[float, int, Path]]:
        """When each file was last used, its bytes and its path, the oldest first."""
        found = []
        for path in self.folder.glob("*.features*"):
            try:
                status = path.stat()
            except OSError:
                continue  # another process has just swept it
            found.append((status.st_mtime, status.st_size, path))
        return sorted(found)

    def _sweep(self) -> None:
        files = self._files()
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def cached(
    model: ImageClassifier,
    split: Split,
    preprocess: Preprocess,
    looks: Looks,
    *,
    runtime: Runtime,
    cache: Cache | None,
    role: str = "all",
    workers: int | str = "auto",
) -> Generator[Features, None, None]:
    """As `extract`, but what was computed before comes from the cache, as one part.

    What is new is added to it when the last part has been taken or the generator is closed, so that
    an extraction that was cut off at a deadline is gone on with the next time.
    """
    if cache is None:
        yield from extract(
            model, split, preprocess, looks, runtime=runtime, role=role, workers=workers
        )
        return
    key = fingerprint(model, split.images, preprocess, looks, runtime)
    kept = cache.read(key, role)
    parts = [] if kept is None else [kept]
    yield from parts
    start = sum(part.num_images + len(part.bad) for part in parts)
    try:
        for part in extract(
            model,
            split,
            preprocess,
            looks,
            runtime=runtime,
            role=role,
            workers=workers,
            start=start,
        ):
            parts.append(part)
            yield part
    finally:
        if len(parts) > (kept is not None) and any(part.num_images for part in parts):
            cache.write(key, gather(parts))


def fingerprint(
    model: ImageClassifier,
    images: ImageList,
    preprocess: Preprocess,
    looks: Looks,
    runtime: Runtime,
) -> str:
    """SHA-256 of all that features follow from, the version of Fathom included.

    Images count by name, class and checksum; beyond AUDIT_LIMIT of them, a file in a folder or tar
    is known by its size instead, as in the fingerprint of a dataset.
    """
    how = (preprocess.to_dict(), asdict(looks), runtime.device.type, runtime.precision)
    digest = hashlib.sha256(json.dumps((__version__, how, repr(model))).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    whole = len(images) <= AUDIT_LIMIT
    for key, target in zip(images.keys, images.targets, strict=True):
        try:
            checksum: object = images.source.checksum(key, whole=whole)
        except BadImageError as error:
            checksum = error
        digest.update(f"{key}\0{target}\0{checksum}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _packed(features: Features) -> bytes:
    tensors = {
        "values": features.values,
        "targets": features.targets,
        "positions": features.positions,
        **{f"stages.{i}": stage for i, stage in enumerate(features.stages)},
    }
    if features.logits is not None:
        tensors["logits"] = features.logits
    bad = [(image.name, image.reason) for image in features.bad]
    tensors["bad"] = _text(json.dumps(bad))
    tensors["views"] = torch.tensor(features.views)
    return save({name: tensor.contiguous() for name, tensor in tensors.items()})


def _unpacked(data: bytes, role: str) -> Features:
    tensors = load(data)
    count = sum(name.startswith("stages.") for name in tensors)
    return Features(
        values=tensors["values"],
        stages=tuple(tensors[f"stages.{i}"] for i in range(count)),
        logits=tensors.get("logits"),
        targets=tensors["targets"],
        positions=tensors["positions"],
        views=int(tensors["views"]),
        bad=tuple(BadImage(role, *row) for row in json.loads(bytes(tensors["bad"].tolist()))),
    )


def _text(text: str) -> Tensor:
    """Text as (N,) uint8 bytes."""
    return torch.tensor(list(text.encode()), dtype=torch.uint8)
