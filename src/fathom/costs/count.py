"""The costs of a network, layer by layer and in total."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from fathom.costs.field import Field, to_field
from fathom.costs.memory import memory
from fathom.costs.trace import Record, Trace, trace
from fathom.errors import UserError, require

BYTES = {"float32": 4, "bfloat16": 2, "int8": 1}


@dataclass(frozen=True)
class LayerCost:
    """What one module does itself, for the batch that was counted, apart from modules inside it.

    name: the module's path, with the functions it calls in brackets if it also holds modules.
    params: parameters of its own, counted where it first appears. activation_bytes: what autograd
    keeps for the backward pass. field: what a pixel of its output sees of the image.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    params: int
    macs: int
    activation_bytes: int
    calls: int
    field: Field | None

    @property
    def flops(self) -> int:
        """Two operations for every multiply-add."""
        return 2 * self.macs


@dataclass(frozen=True)
class Cost:
    """Totals for a batch of images, and the layers they come from.

    params: all parameters, trainable ones apart; macs and activation_bytes: for the whole batch.
    training_bytes: the most alive in a training step with SGD and momentum, weights and gradients
    included; inference_bytes: the most alive in an evaluation pass, with the weights.
    receptive_field: of the last map that still has pixels, before what sees the whole image alike.
    not_run: modules with parameters that an evaluation pass never reaches.
    """

    image_size: tuple[int, int]
    in_channels: int
    batch_size: int
    params: int
    trainable: int
    macs: int
    activation_bytes: int
    training_bytes: int
    inference_bytes: int
    receptive_field: Field | None
    layers: tuple[LayerCost, ...]
    not_run: tuple[str, ...]

    @property
    def flops(self) -> int:
        """Two operations for every multiply-add."""
        return 2 * self.macs

    @property
    def weight_bytes(self) -> Mapping[str, int]:
        """Bytes of the parameters by type of number."""
        return {name: self.params * size for name, size in BYTES.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "image_size": list(self.image_size),
            "in_channels": self.in_channels,
            "batch_size": self.batch_size,
            "params": self.params,
            "trainable": self.trainable,
            "macs": self.macs,
            "flops": self.flops,
            "weight_bytes": dict(self.weight_bytes),
            "activation_bytes": self.activation_bytes,
            "training_bytes": self.training_bytes,
            "inference_bytes": self.inference_bytes,
            "receptive_field": _field_dict(self.receptive_field),
            "layers": [
                {
                    "name": layer.name,
                    "kind": layer.kind,
                    "output_shape": list(layer.output_shape),
                    "params": layer.params,
                    "macs": layer.macs,
                    "flops": layer.flops,
                    "activation_bytes": layer.activation_bytes,
                    "calls": layer.calls,
                    "receptive_field": _field_dict(layer.field),
                }
                for layer in self.layers
            ],
            "not_run": list(self.not_run),
        }


def _field_dict(field: Field | None) -> dict[str, Any] | None:
    if field is None:
        return None
    return {
        "size": list(field.size),
        "stride": list(field.stride),
        "offset": list(field.offset),
    }


def cost(
    model: nn.Module,
    *,
    image_size: int | tuple[int, int],
    batch_size: int = 1,
    in_channels: int | None = None,
) -> Cost:
    """Count a batch of (batch_size, in_channels, H, W) images through any model.

    image_size is a side or (H, W) in pixels; in_channels is the model's own where it says so, else
    those of its first convolution. The model is not changed and may be on any device, meta too.

    Raises UserError where the model cannot run on such images, or not without values, naming the
    operation.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    require(min(height, width, batch_size) >= 1, "image_size and batch_size must be at least 1")
    shape = (batch_size, _channels(model, in_channels), height, width)
    found = trace(model, shape)
    held = memory(model, shape)
    owners = _owned(model)
    parents = {path.rpartition(".")[0] for path in found.kinds if path} | {""}
    layers = tuple(
        _layer(record, record.path in parents, owners[record.path], held.saved.get(record.path, 0))
        for record in found.records.values()
        if record.output is not None or record.macs
    )
    return Cost(
        image_size=(height, width),
        in_channels=shape[1],
        batch_size=batch_size,
        params=sum(p.numel() for p in model.parameters()),
        trainable=sum(p.numel() for p in model.parameters() if p.requires_grad),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=sum(held.saved.values()),
        training_bytes=held.training,
        inference_bytes=held.inference,
        receptive_field=last_field(found.records.values()),
        layers=layers,
        not_run=_not_run(model, found, owners),
    )


def _channels(model: nn.Module, asked: int | None) -> int:
    if asked is not None:
        return asked
    own = getattr(model, "in_channels", None)
    if isinstance(own, int):
        return own
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            return module.in_channels
    raise UserError("the model has no convolution to tell its channels by; give in_channels")


def _owned(model: nn.Module) -> dict[str, int]:
    """Parameters that each module holds itself, a shared one where it first appears."""
    counted: set[int] = set()
    owned = {}
    for path, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in own)
        owned[path] = sum(p.numel() for p in own)
    return owned


def _layer(record: Record, holds_modules: bool, params: int, saved: int) -> LayerCost:
    name = record.path or "forward"
    if holds_modules:
        name = f"{name} ({', '.join(record.functions)})"
    return LayerCost(
        name=name,
        kind=record.kind,
        output_shape=() if record.output is None else tuple(record.output.shape),
        params=params,
        macs=record.macs,
        activation_bytes=saved,
        calls=record.calls,
        field=None if record.sides is None else to_field(record.sides),
    )


def last_field(records: Iterable[Record]) -> Field | None:
    """The field of the last map that has pixels of its own, else of whatever came last."""
    latest = sorted(records, key=lambda record: record.at)
    fields = [to_field(record.sides) for record in latest if record.sides is not None]
    maps = [field for field in fields if not field.alike]
    return (maps or fields)[-1] if fields else None


def _not_run(model: nn.Module, found: Trace, owners: Mapping[str, int]) -> tuple[str, ...]:
    """Modules with parameters that were never entered, the outermost of each."""
    idle: list[str] = []
    for path, module in model.named_modules():
        heavy = any(True for _ in module.parameters())
        if not path or not heavy or any(path.startswith(f"{p}.") for p in idle):
            continue
        below = [found.paths.get(m, "") for m in module.modules()]
        if not any(p in found.records for p in below):
            idle.append(path)
    return tuple(idle)
