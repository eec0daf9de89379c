"""How other libraries name the weights of a network: tables that are read in both directions.

A row is (our prefix, their prefix), for a module, whose parameters and buffers both sides call the
same, or for one tensor. A third field gives the shape of their tensor where it differs from ours
with the same values in the same order (a linear layer that they write as a 1x1 convolution).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

Row = tuple[str, str] | tuple[str, str, tuple[int, ...]]


@dataclass(frozen=True)
class Theirs:
    """The name of one of our tensors in another library, and its shape there if it differs."""

    name: str
    shape: tuple[int, ...] | None = None


def translate(names: Iterable[str], rows: Iterable[Row]) -> dict[str, Theirs]:
    """Our tensor names -> theirs, for every name that a row covers; the longest prefix decides."""
    table: Mapping[str, Row] = {row[0]: row for row in rows}
    found = {}
    for name in names:
        prefix = name
        while prefix and prefix not in table:
            prefix = prefix.rpartition(".")[0]
        if prefix:
            row = table[prefix]
            shape = row[2] if len(row) == 3 else None
            found[name] = Theirs(row[1] + name[len(prefix) :], shape)
    return found


def to_theirs(tensors: Mapping[str, Tensor], table: Mapping[str, Theirs]) -> dict[str, Tensor]:
    """Our tensors under their names and in their shapes."""
    renamed = {}
    for name, tensor in tensors.items():
        theirs = table[name]
        renamed[theirs.name] = tensor if theirs.shape is None else tensor.reshape(theirs.shape)
    return renamed
