"""What `fathom cost` prints for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from fathom.cli.tables import console, print_columns, quantity
from fathom.costs import Cost, Field, LayerCost
from fathom.costs.designs import Design

_PARTS = 40  # rows up to which layers are shown as they are


def show_cost(name: str, found: Cost, *, every_layer: bool) -> None:
    """Print totals, and a row a part or a layer."""
    out = console()
    batch = f"a batch of {found.batch_size} images" if found.batch_size > 1 else "one image"
    size = f"{found.in_channels} x {found.image_size[0]} x {found.image_size[1]}"
    out.print(f"[bold]{name}[/], {batch} of {size}")
    for line in _totals(found):
        out.print(line)
    if found.not_run:
        out.print(f"never run in evaluation: {', '.join(found.not_run)}")
    out.print()
    rows = list(found.layers) if every_layer else _parts(found)
    _show_layers(rows, found)
    if not every_layer:
        out.print("every layer: --layers")


def _totals(found: Cost) -> Iterable[str]:
    weights = found.weight_bytes
    yield f"parameters   {found.params:,}" + (
        f" ({found.trainable:,} trainable)" if found.trainable != found.params else ""
    )
    yield f"MACs         {found.macs:,} multiply-adds"
    yield f"FLOPs        {found.flops:,} operations (2 x MACs)"
    yield "weights      " + ", ".join(f"{both(count)} {kind}" for kind, count in weights.items())
    yield f"activations  {both(found.activation_bytes)} kept for the backward pass"
    yield f"memory       {both(found.training_bytes)} at the peak of a training step (momentum)"
    yield f"             {both(found.inference_bytes)} at the peak of an evaluation pass"
    if found.receptive_field is not None:
        yield f"field        {field_text(found.receptive_field)} seen by a pixel of the last map"


def both(count: int) -> str:
    """Bytes as MB and as MiB: 553430176 -> "553.4 MB (527.8 MiB)"."""
    return f"{count / 1e6:,.1f} MB ({count / 2**20:,.1f} MiB)"


def field_text(field: Field | None) -> str:
    """The size of a receptive field, and its stride where there is one."""
    if field is None:
        return ""
    size = f"{field.size[0]} x {field.size[1]}"
    return f"{size} alike" if field.alike else f"{size} /{field.stride[0]:g}"


def _parts(found: Cost) -> list[LayerCost]:
    """Layers summed by the part of the network they belong to."""
    depth = 1
    names = [_part(layer, depth) for layer in found.layers]
    while len(set(names)) < 8 and depth < 4:
        deeper = [_part(layer, depth + 1) for layer in found.layers]
        if len(set(deeper)) > _PARTS:
            break
        names, depth = deeper, depth + 1
    parts: dict[str, list[LayerCost]] = {}
    for name, layer in zip(names, found.layers, strict=True):
        parts.setdefault(name, []).append(layer)
    return [_sum(name, layers) for name, layers in parts.items()]


def _part(layer: LayerCost, depth: int) -> str:
    return ".".join(layer.name.split(" ")[0].split(".")[:depth])


def _sum(name: str, layers: Sequence[LayerCost]) -> LayerCost:
    last = layers[-1]
    return LayerCost(
        name=name,
        kind="" if len(layers) > 1 else last.kind,
        output_shape=last.output_shape,
        params=sum(layer.params for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activation_bytes=sum(layer.activation_bytes for layer in layers),
        calls=last.calls,
        field=last.field,
    )


def _show_layers(rows: Sequence[LayerCost], found: Cost) -> None:
    heads = ("layer", "output", "params", "of all", "MACs", "FLOPs", "of all ", "kept", "sees")
    lines = [
        (
            row.name,
            " x ".join(str(side) for side in row.output_shape[1:]),
            quantity(row.params) if row.params else "",
            _share(row.params, found.params),
            quantity(row.macs) if row.macs else "",
            quantity(row.flops) if row.macs else "",
            _share(row.macs, found.macs),
            f"{row.activation_bytes / 2**20:.1f} MiB" if row.activation_bytes else "",
            field_text(row.field),
        )
        for row in rows
    ]
    print_columns(heads, lines, left=("layer", "output"))


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if part and whole else ""


def show_comparison(found: Sequence[tuple[str, Cost, dict[str, Any]]]) -> None:
    """Print networks side by side, a column each."""
    lines: dict[str, list[str]] = {}
    for _, cost, measured in found:
        for key, value in _figures(cost, measured):
            lines.setdefault(key, []).append(value)
    print_columns(
        ["", *(name for name, _, _ in found)], [[k, *v] for k, v in lines.items()], left=[""]
    )


def _figures(found: Cost, measured: dict[str, Any]) -> Iterable[tuple[str, str]]:
    yield "image", f"{found.image_size[0]} x {found.image_size[1]}"
    yield "parameters", quantity(found.params)
    yield "MACs", quantity(found.macs)
    yield "FLOPs (2 x MACs)", quantity(found.flops)
    yield "weights, float32", f"{found.weight_bytes['float32'] / 2**20:,.1f} MiB"
    yield "kept for backward", f"{found.activation_bytes / 2**20:,.1f} MiB"
    yield "training step, peak", f"{found.training_bytes / 2**20:,.1f} MiB"
    yield "evaluation, peak", f"{found.inference_bytes / 2**20:,.1f} MiB"
    field = found.receptive_field
    yield "receptive field", "" if field is None else f"{field.size[0]}"
    if measured:
        first, last = measured["speed"][0], measured["speed"][-1]
        yield "latency, batch 1", f"{first['seconds'] * 1e3:.1f} ms"
        yield (
            "throughput",
            f"{last['images_per_second']:.0f}/s at batch {last['batch_size']}",
        )
        yield "of the matmul rate", f"{last['share']:.0%}"
        yield "training, measured", f"{measured['training_bytes_measured'] / 2**20:,.1f} MiB"


def show_measured(measured: dict[str, Any]) -> None:
    """Print what this machine did."""
    out = console()
    out.print(f"\nmeasured on {measured['machine']}")
    rate = measured["matmul_flops_per_second"] / 1e9
    out.print(f"a 2048 x 2048 matrix product runs at {rate:,.0f} GFLOP/s here")
    for row in measured["speed"]:
        out.print(
            f"batch {row['batch_size']:3d}: {row['seconds'] * 1e3:.1f} ms (middle half of "
            f"{row['repeats']}: {row['low'] * 1e3:.1f} to {row['high'] * 1e3:.1f}), "
            f"{row['images_per_second']:.1f} images/s, {row['share']:.0%} of that rate"
        )
    out.print(f"training step, peak: {both(measured['training_bytes_measured'])}")


def show_designs(designs: Sequence[Design]) -> None:
    """Print each design of a convolution with its steps and its ratio to the plain one."""
    plain = designs[0]
    rows = [
        (
            design.name,
            ", then ".join(step.text for step in design.steps),
            " + ".join(f"{step.params:,}" for step in design.steps),
            f"{design.macs:,}",
            f"{design.flops:,}",
            f"{plain.macs / design.macs:.2f}",
        )
        for design in designs
    ]
    heads = ("design", "convolutions", "params", "MACs", "FLOPs (2 x MACs)", "times cheaper")
    print_columns(heads, rows, left=("design", "convolutions"))
