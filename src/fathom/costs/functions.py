"""How PyTorch's functions move receptive fields: a table from function names to rules.

A rule takes the fields of the inputs, the call's arguments and its output, and gives the fields of
the output. A function without a rule keeps the fields where its output has the shape of its input,
and otherwise is taken to mix everything it reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, prod
from typing import Any

from torch import Tensor

from fathom.costs.field import Side, Sides, union

Rule = Callable[[Tensor, Sides, "Call", Tensor], Sides]


class Call:
    """The arguments of a call, reached by position or name."""

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        self.args, self.kwargs = args, kwargs

    def get(self, position: int, name: str, default: Any = None) -> Any:
        """An argument, or its default."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[position] if len(self.args) > position else default


def _pair(value: Any) -> tuple[Any, Any]:
    """One figure for both sides, or one each."""
    if isinstance(value, int | float):
        return value, value
    values = tuple(value)
    return (values[0], values[0]) if len(values) == 1 else (values[-2], values[-1])


def _spatial(x: Tensor, sides: Sides) -> Sides:
    """Sides whose dimensions are the last two, in order; others are collapsed."""
    wanted = (x.ndim - 2, x.ndim - 1)
    if all(side.dim in (None, dim) for side, dim in zip(sides, wanted, strict=True)):
        return sides
    return collapse(x, sides)


def collapse(x: Tensor, sides: Sides, dims: Sequence[int] | None = None) -> Sides:
    """All of the map along these dimensions, or along all, seen as one."""
    found = [
        side.collapsed(x.shape[side.dim])
        if side.dim is not None and (dims is None or side.dim in dims)
        else side
        for side in sides
    ]
    return found[0], found[1]


def _windows(
    x: Tensor,
    sides: Sides,
    kernel: Any,
    stride: Any,
    padding: Any,
    dilation: Any = 1,
) -> Sides:
    """Convolution or pooling on the last two dimensions."""
    sides = _spatial(x, sides)
    found = []
    for index, side in enumerate(sides):
        if side.dim is None:
            found.append(side)
            continue
        k, s, p, d = (_pair(v)[index] for v in (kernel, stride, padding, dilation))
        found.append(side.window(d * (k - 1) + 1, s, p))
    return found[0], found[1]


def _conv(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    weight: Tensor = call.get(1, "weight")
    kernel, dilation = tuple(weight.shape[2:]), call.get(5, "dilation", 1)
    padding = call.get(4, "padding", 0)
    if isinstance(padding, str):
        spread = [d * (k - 1) for k, d in zip(_pair(kernel), _pair(dilation), strict=True)]
        padding = tuple(s // 2 for s in spread) if padding == "same" else 0
    return _windows(x, sides, kernel, call.get(3, "stride", 1), padding, dilation)


def _conv_transpose(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Output pixel o reads the inputs i with i * stride - padding + tap * dilation = o."""
    weight: Tensor = call.get(1, "weight")
    sides, found = _spatial(x, sides), []
    for index, side in enumerate(sides):
        s, p = _pair(call.get(3, "stride", 1))[index], _pair(call.get(4, "padding", 0))[index]
        reach = _pair(call.get(7, "dilation", 1))[index] * (weight.shape[2 + index] - 1)
        lo = side.lo + Fraction(p - reach, s) * side.stride
        hi = side.hi + Fraction(p, s) * side.stride
        found.append(replace(side, lo=lo, hi=hi, stride=side.stride / s))
    return found[0], found[1]


def _pool(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    kernel = call.get(1, "kernel_size")
    stride = call.get(2, "stride") or kernel
    dilation = call.get(4, "dilation", 1)
    # Average pooling's fourth argument is ceil_mode.
    dilation = 1 if isinstance(dilation, bool) else dilation
    return _windows(x, sides, kernel, stride, call.get(3, "padding", 0), dilation)


def _adaptive(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Output i of n reads the inputs from floor(i * size / n) to ceil((i + 1) * size / n)."""
    sides, found = _spatial(x, sides), []
    for side in sides:
        if side.dim is None or out.shape[side.dim] == x.shape[side.dim]:
            found.append(side)
            continue
        size, n = x.shape[side.dim], out.shape[side.dim]
        if n == 1:
            found.append(side.collapsed(size))
        else:
            spread = Fraction(size, n) if size % n == 0 else ceil(size / n) + 1
            found.append(side.window(spread, Fraction(size, n), 0))
    return found[0], found[1]


def _pad(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    amounts = call.get(1, "pad")
    found = []
    for side in sides:
        back = None if side.dim is None else x.ndim - 1 - side.dim
        before = amounts[2 * back] if back is not None and 2 * back < len(amounts) else 0
        found.append(side.shifted(-before))
    return found[0], found[1]


def _resize(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Interpolation: an output pixel reads the inputs nearest to it, of a smooth kind one more."""
    sides, found = _spatial(x, sides), []
    smooth = call.get(3, "mode", "nearest") not in ("nearest", "nearest-exact", "area")
    for side in sides:
        if side.dim is None:
            found.append(side)
            continue
        ratio = Fraction(x.shape[side.dim], out.shape[side.dim])
        reach = (1 - ratio if ratio < 1 else ratio - 1) + (1 if smooth else 0)
        lo, hi = side.lo - reach * side.stride, side.hi + reach * side.stride
        found.append(replace(side, lo=lo, hi=hi, stride=side.stride * ratio))
    return found[0], found[1]


def _permute(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    dims = call.get(1, "dims")
    order = list(dims) if isinstance(dims, Sequence) else list(call.args[1:])
    order = [d % x.ndim for d in order]
    return _renumbered(sides, {old: new for new, old in enumerate(order)})


def _transpose(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    a, b = call.get(1, "dim0") % x.ndim, call.get(2, "dim1") % x.ndim
    return _renumbered(sides, {**{d: d for d in range(x.ndim)}, a: b, b: a})


def _renumbered(sides: Sides, numbers: Mapping[int, int]) -> Sides:
    found = [side if side.dim is None else replace(side, dim=numbers[side.dim]) for side in sides]
    return found[0], found[1]


def _reshape(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """A dimension survives where the sizes before it multiply to the same; others are collapsed."""
    places = {(prod(out.shape[:dim]), size): dim for dim, size in enumerate(out.shape)}
    found = []
    for side in sides:
        if side.dim is None:
            found.append(side)
            continue
        dim = places.get((prod(x.shape[: side.dim]), x.shape[side.dim]))
        kept = side if dim is None else replace(side, dim=dim)
        found.append(side.collapsed(x.shape[side.dim]) if dim is None else kept)
    return found[0], found[1]


def _reduce(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Mean, sum and extremes over some dimensions."""
    asked = call.get(1, "dim")
    if not isinstance(asked, int | Sequence):
        return collapse(x, sides)
    gone = sorted(d % x.ndim for d in ([asked] if isinstance(asked, int) else asked))
    sides = collapse(x, sides, gone)
    if out.ndim == x.ndim:
        return sides
    kept = [d for d in range(x.ndim) if d not in gone]
    return _renumbered(sides, {old: new for new, old in enumerate(kept)})


def _index(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    asked = call.args[1]
    items = list(asked) if isinstance(asked, tuple) else [asked]
    plain = all(isinstance(i, int | slice) or i is None or i is Ellipsis for i in items)
    if not plain:
        return collapse(x, sides)
    if Ellipsis in items:
        at = items.index(Ellipsis)
        rest = x.ndim - sum(i is not None for i in items) + 1
        items[at : at + 1] = [slice(None)] * rest
    items += [slice(None)] * (x.ndim - sum(i is not None for i in items))
    old, new = 0, 0
    found = list(sides)
    for item in items:
        for n, side in enumerate(sides):
            if item is not None and side.dim == old:
                found[n] = _cut(side, item, x.shape[old], new)
        old += item is not None
        new += not isinstance(item, int)
    return found[0], found[1]


def _cut(side: Side, item: int | slice, size: int, dim: int) -> Side:
    if isinstance(item, int):
        return side.shifted(item % size).collapsed(1)
    start, _, step = item.indices(size)
    return replace(side.shifted(start), stride=side.stride * step, dim=dim)


def _norm_over(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Layer norm mixes the dimensions it normalises over."""
    last = len(call.get(1, "normalized_shape"))
    return collapse(x, sides, range(x.ndim - last, x.ndim))


def _linear(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    return collapse(x, sides, [x.ndim - 1])


def _along(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Softmax, roll, flip and their like mix one dimension, or all if none is named."""
    dim = call.get(1, "dim")
    return collapse(x, sides, [dim % x.ndim] if isinstance(dim, int) else None)


def _everything(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    return collapse(x, sides)


def _shuffle(x: Tensor, sides: Sides, call: Call, out: Tensor) -> Sides:
    """Pixel shuffle spreads channels over r x r pixels that all see what one saw."""
    sides, found = _spatial(x, sides), []
    for side in sides:
        ratio = 1 if side.dim is None else Fraction(x.shape[side.dim], out.shape[side.dim])
        lo = side.lo - (1 - ratio) * side.stride if ratio < 1 else side.lo
        hi = side.hi + (ratio - 1) * side.stride if ratio > 1 else side.hi
        found.append(replace(side, lo=lo, hi=hi, stride=side.stride * ratio))
    return found[0], found[1]


_RULES: Mapping[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), _conv_transpose),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "lp_pool2d", "max_pool2d_with_indices"), _pool),
    **dict.fromkeys(("adaptive_avg_pool2d", "adaptive_max_pool2d"), _adaptive),
    **dict.fromkeys(("interpolate", "upsample"), _resize),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), _shuffle),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "var", "std", "norm"), _reduce),
    **dict.fromkeys(("permute",), _permute),
    **dict.fromkeys(("transpose", "swapaxes", "swapdims"), _transpose),
    **dict.fromkeys(
        ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as"), _reshape
    ),
    **dict.fromkeys(("softmax", "log_softmax", "roll", "flip", "cumsum", "sort"), _along),
    **dict.fromkeys(
        (
            "matmul",
            "bmm",
            "einsum",
            "baddbmm",
            "scaled_dot_product_attention",
            "multi_head_attention_forward",
            "group_norm",
            "instance_norm",
            "grid_sample",
            "__matmul__",
        ),
        _everything,
    ),
    "pad": _pad,
    "__getitem__": _index,
    "layer_norm": _norm_over,
    "linear": _linear,
}


def propagate(name: str, inputs: Sequence[tuple[Tensor, Sides]], call: Call, out: Tensor) -> Sides:
    """The fields of an output, from the inputs that come from the image."""
    rule = _RULES.get(name.rstrip("_") if not name.startswith("__") else name)
    first, sides = inputs[0]
    if rule is not None:
        return rule(first, sides, call, out)
    if name in ("cat", "concat", "concatenate") and _joins_sides(first, call):
        inputs = [(x, collapse(x, s)) for x, s in inputs]
    merged: Sides | None = None
    like = first
    for x, found in inputs:
        aligned = _aligned(x, found, out)
        merged = aligned if merged is None else _merge(like, merged, x, aligned)
        like = x if x.ndim == out.ndim else like
    assert merged is not None
    return merged


def _joins_sides(x: Tensor, call: Call) -> bool:
    return int(call.get(1, "dim", 0)) % x.ndim in (2, 3) and x.ndim == 4


def _aligned(x: Tensor, sides: Sides, out: Tensor) -> Sides:
    """The sides as dimensions of the output, which broadcasting counts from the last."""
    found = []
    for side in sides:
        dim = None if side.dim is None else side.dim + out.ndim - x.ndim
        if side.dim is None or dim is None or dim < 0:
            found.append(side.collapsed(1 if side.dim is None else x.shape[side.dim]))
        elif out.shape[dim] == x.shape[side.dim]:
            found.append(replace(side, dim=dim))
        else:
            found.append(side.collapsed(x.shape[side.dim]))
    return found[0], found[1]


def _merge(a: Tensor, first: Sides, b: Tensor, second: Sides) -> Sides:
    found = [
        union(one, two, (_length(a, one), _length(b, two)))
        for one, two in zip(first, second, strict=True)
    ]
    return found[0], found[1]


def _length(x: Tensor, side: Side) -> int:
    return 1 if side.dim is None or side.dim >= x.ndim else x.shape[side.dim]
