"""Weights into a network, whoever named them, and out of it under others' names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fathom.errors import UserError, unknown
from fathom.models.base import ImageClassifier
from fathom.models.keys import Theirs, to_theirs, translate
from fathom.weights.files import read_tensors

_LISTED = 8
_OWN = "fathom"
# Counters that files of long ago lack and that no evaluation reads.
_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Loaded:
    """What `load_weights` did: whose names it met, and which tensors start afresh, at zero."""

    layout: str
    replaced: tuple[str, ...]
    note: str | None


def load_weights(model: ImageClassifier, source: str | Path | Mapping[str, Tensor]) -> Loaded:
    """Put weights from a file or a state dict into a network.

    The names may be ours, torchvision's or timm's. Where the number of classes differs, the
    classifier starts at zero (Kolesnikov et al. 2019, arXiv:1912.11370, Section 3.3), and the
    result says so. Auxiliary classifiers that the
    network was built without are left out.

    Raises UserError for a file that cannot be read, and for any other tensor that is missing,
    unknown or of another shape, naming them; the network is then as it was.
    """
    tensors = dict(source) if isinstance(source, Mapping) else read_tensors(source)
    where = "the state dict" if isinstance(source, Mapping) else str(source)
    mine = model.state_dict()
    if any(tensor.is_meta for tensor in mine.values()):
        raise UserError("the network is on the meta device, which holds no weights; build it again")
    layout, table = _recognise(model, mine, tensors)
    heads = _classifier_names(model)
    chosen, missing, misshapen, replaced = dict(mine), [], [], []
    for name, own in mine.items():
        theirs = table[name].name
        if theirs not in tensors:
            if not name.endswith(_COUNTER):
                missing.append(theirs)
            continue
        value = tensors.pop(theirs)
        expected = table[name].shape or tuple(own.shape)
        if tuple(value.shape) == expected:
            chosen[name] = value.reshape(own.shape)
        elif name in heads and tuple(value.shape[1:]) == expected[1:]:
            replaced.append((name, len(value)))
        else:
            misshapen.append(f"{theirs} is {tuple(value.shape)}, not {expected}")
    extra = _beyond(model, table, layout, tensors)
    _refuse(where, model, layout, missing=missing, extra=extra, misshapen=misshapen)
    for name, _ in replaced:
        chosen[name] = torch.zeros_like(mine[name])
    model.load_state_dict(chosen)
    note = None
    if replaced:
        note = (
            f"the weights know {replaced[0][1]} classes and the network {model.num_classes}, so "
            "its classifier starts afresh"
        )
    return Loaded(layout, tuple(name for name, _ in replaced), note)


def reference_state_dict(model: ImageClassifier, library: str | None = None) -> dict[str, Tensor]:
    """The network's weights under the names, and in the shapes, of its peer in another library.

    library is torchvision or timm; by default torchvision where it has the network, else timm.
    The result loads strictly into the peer. Raises UserError where there is no such peer.
    """
    maps = model.key_maps()
    if not maps:
        raise UserError("this network has no peer in torchvision or timm; save its state_dict()")
    library = next(iter(maps)) if library is None else library
    if library not in maps:
        raise unknown("library", library, maps)
    tensors = model.state_dict()
    return to_theirs(tensors, translate(tensors, maps[library]))


def _recognise(
    model: ImageClassifier, mine: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> tuple[str, dict[str, Theirs]]:
    """Whose names the tensors bear, and the table from our names to theirs."""
    tables = {_OWN: {name: Theirs(name) for name in mine}}
    for library, rows in model.key_maps().items():
        tables[library] = translate(mine, rows)
    hits = {
        library: sum(theirs.name in tensors for theirs in table.values())
        for library, table in tables.items()
    }
    best = max(hits, key=lambda library: hits[library])
    return best, tables[best]


def _classifier_names(model: ImageClassifier) -> set[str]:
    layers = {id(layer) for layer in model.classifiers()}
    paths = [path for path, module in model.named_modules() if id(module) in layers]
    return {f"{path}.{part}" for path in paths for part in ("weight", "bias")}


def _beyond(
    model: ImageClassifier,
    table: Mapping[str, Theirs],
    layout: str,
    rest: Mapping[str, Tensor],
) -> list[str]:
    """What is left over, except auxiliary classifiers that the network was built without."""
    known = {theirs.name for theirs in table.values()}
    rows = model.key_maps().get(layout, [("auxiliary", "auxiliary")])
    dropped = tuple(f"{row[1]}." for row in rows if row[0].split(".")[0] == "auxiliary")
    return [
        name
        for name in rest
        if name not in known
        and not name.endswith(_COUNTER)
        and not (dropped and name.startswith(dropped))
    ]


def _refuse(where: str, model: ImageClassifier, layout: str, **wrong: list[str]) -> None:
    words = {"missing": "missing", "extra": "unknown", "misshapen": "of another shape"}
    parts = []
    for kind, names in wrong.items():
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            parts.append(f"{len(names)} {words[kind]}: {', '.join(names[:_LISTED])}{more}")
    if parts:
        raise UserError(
            f"the weights in {where} do not fit this network (nearest to {layout}'s names): "
            f"{'; '.join(parts)}. Build the network they were trained with"
        )
