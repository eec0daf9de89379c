"""Checkpoints: tensors in safetensors, everything else in a JSON file that names them.

The JSON file is the point of commitment. The tensors are written under a new name and flushed
first; then the JSON that names them, with their SHA-256, replaces the old one. A crash or a full
disk at any moment leaves the old pair, or the new one, whole.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fathom.errors import UserError
from fathom.training.run import FORMAT, write_bytes, write_json


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and plain JSON values; note says what a reader should know of it."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]
    note: str | None = None

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below `prefix.`, without it."""
        start = prefix + "."
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def weights(self) -> dict[str, Tensor]:
        """The weights to use: the average where there is one, else the trained ones."""
        return self.part("average") or self.part("model")


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a state dict: names, types, shapes and every bit of the values."""
    return hashlib.sha256(_pack(weights)).hexdigest()


def _pack(tensors: Mapping[str, Tensor]) -> bytes:
    plain = {k: v.detach().to("cpu").contiguous().clone() for k, v in sorted(tensors.items())}
    return save(plain)


def save_checkpoint(
    folder: Path, name: str, tensors: Mapping[str, Tensor], state: Mapping[str, Any]
) -> None:
    """Store a checkpoint as `name` ("last" or "best"); the former last one becomes "previous".

    Raises OSError when it cannot be written; the checkpoints that were there stay.
    """
    data = _pack(tensors)
    file = folder / f"{name}-{state['step']:08d}.safetensors"
    pointer = folder / f"{name}.json"
    write_bytes(file, data)
    if name == "last" and pointer.exists():
        write_bytes(folder / "previous.json", pointer.read_bytes())
    write_json(
        pointer,
        {
            "format": FORMAT,
            "tensors": file.name,
            "sha256": hashlib.sha256(data).hexdigest(),
            "state": dict(state),
        },
    )
    _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove tensors that no JSON file names."""
    named = set()
    for pointer in folder.glob("*.json"):
        try:
            named.add(json.loads(pointer.read_text())["tensors"])
        except (OSError, ValueError, KeyError, TypeError):
            return  # a damaged pointer: its tensors may be all that is left, so nothing goes
    for file in folder.glob("*.safetensors"):
        if file.name not in named:
            file.unlink(missing_ok=True)


def load_checkpoint(folder: Path, name: str) -> Checkpoint:
    """Read a checkpoint and check its SHA-256; a damaged "last" falls back to "previous".

    Raises UserError when neither is whole.
    """
    try:
        return _read(folder, name)
    except UserError as error:
        if name != "last" or not (folder / "previous.json").exists():
            raise
        found = _read(folder, "previous")
        note = f"{error}; going on from the previous good checkpoint, step {found.state['step']}"
        return Checkpoint(found.tensors, found.state, note)


def _read(folder: Path, name: str) -> Checkpoint:
    pointer = folder / f"{name}.json"
    try:
        entry = json.loads(pointer.read_text(encoding="utf-8"))
        data = (folder / Path(entry["tensors"]).name).read_bytes()
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise UserError(f"the checkpoint {folder / entry['tensors']} is damaged")
        return Checkpoint(load(data), entry["state"])
    except FileNotFoundError as error:
        raise UserError(f"the run has no {name} checkpoint: {error.filename} is missing") from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"the checkpoint {pointer} is damaged ({error})") from error


class SaveTimer:
    """When a checkpoint is due: after `least` seconds, and never more than a twentieth of time."""

    def __init__(self, least: float) -> None:
        self.least = least
        self.cost = 0.0
        self.at = time.monotonic()

    def due(self, epoch_ended: bool) -> bool:
        """Whether to save now; the end of an epoch is a good moment, so it waits less."""
        wait = max(min(self.least, 5.0) if epoch_ended else self.least, 20 * self.cost)
        return time.monotonic() - self.at >= (self.least if self.least == 0 else wait)

    def took(self, before: float) -> None:
        """Take note of a checkpoint begun at `before`."""
        self.at = time.monotonic()
        self.cost = self.at - before
