"""PyTorch's kernels, heard one by one on the meta device: what they multiply, and what they give.

On the meta device many kernels are Python that imports PyTorch's compiler and its algebra, seconds
before a first result. For the few that make up nearly all of a convolutional network the shapes of
the results are written here; every other kernel is PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A listener to kernels; `run` gives what the kernel would."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else PyTorch imports its compiler to skip it

    def run(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of a kernel, by its shape where it is written here."""
        shape_of = _SHAPES.get(func)
        found = shape_of(*args, **(kwargs or {})) if shape_of else None
        return func(*args, **(kwargs or {})) if found is None else found


def like(x: Tensor) -> Tensor:
    """A tensor of the same shape, type and layout."""
    if x.numel() and 0 in x.stride():
        return torch.empty(x.shape, dtype=x.dtype, device="meta")
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _of(x: Tensor, shape: Sequence[int]) -> Tensor:
    return torch.empty(tuple(shape), dtype=x.dtype, device="meta")


def multiply_adds(kernel: Any, args: Sequence[Any], out: Any) -> int:
    """Multiply-adds of one kernel: convolutions and products of matrices, else 0."""
    packet = getattr(kernel, "_overloadpacket", None)
    found = 0
    if packet is aten.convolution:
        x, weight, transposed = args[0], args[1], args[6]
        # Every weight meets every pixel of the output, or of the input if it is transposed.
        found = prod((x if transposed else out).shape[2:]) * out.shape[0] * weight.numel()
    elif packet in (aten.mm, aten.bmm):
        found = out.numel() * args[0].shape[-1]
    elif packet in (aten.addmm, aten.baddbmm):
        found = out.numel() * args[1].shape[-1]
    elif packet in _ATTENTION:
        query, key, value = args[:3]
        pairs = prod(query.shape[:-1]) * key.shape[-2]
        found = pairs * (query.shape[-1] + value.shape[-1])
    return int(found)


_ATTENTION = (
    aten._scaled_dot_product_flash_attention,
    aten._scaled_dot_product_flash_attention_for_cpu,
    aten._scaled_dot_product_efficient_attention,
    aten._scaled_dot_product_fused_attention_overrideable,
)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor | None:
    """None, which leaves the complaint to PyTorch, where nothing would be left of the map."""
    sides = x.ndim - 2
    if x.ndim != weight.ndim or x.shape[1] != weight.shape[0 if transposed else 1] * (
        1 if transposed else groups
    ):
        return None
    s, p, d, extra = (
        list(v) * sides if len(v) == 1 else list(v)
        for v in (stride, padding, dilation, output_padding)
    )
    reach = [d[i] * (weight.shape[2 + i] - 1) for i in range(sides)]
    if transposed:
        channels = weight.shape[1] * groups
        out = [
            (x.shape[2 + i] - 1) * s[i] - 2 * p[i] + reach[i] + extra[i] + 1 for i in range(sides)
        ]
    else:
        channels = weight.shape[0]
        out = [(x.shape[2 + i] + 2 * p[i] - reach[i] - 1) // s[i] + 1 for i in range(sides)]
    return _of(x, (x.shape[0], channels, *out)) if min(out) > 0 else None


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, bias_sizes: Any, *rest: Any
) -> tuple[Tensor | None, ...]:
    mask = rest[-1]
    channels = (grad.shape[1],)
    found = (like(x), like(weight), _of(x, channels))
    return tuple(t if wanted else None for t, wanted in zip(found, mask, strict=True))


def _batch_norm(
    x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, *_: Any
) -> Any:
    kept = (x.shape[1],) if training else (0,)
    return like(x), _of(x, kept), _of(x, kept)


def _batch_norm_backward(grad: Tensor, x: Tensor, *_: Any) -> Any:
    channels = (x.shape[1],)
    return like(x), _of(x, channels), _of(x, channels)


def _layer_norm(x: Tensor, shape: Sequence[int], *_: Any) -> Any:
    rows = (*x.shape[: x.ndim - len(shape)], *(1,) * len(shape))
    return like(x), _of(x, rows), _of(x, rows)


def _layer_norm_backward(grad: Tensor, x: Tensor, shape: Sequence[int], *_: Any) -> Any:
    return like(x), _of(x, shape), _of(x, shape)


def _first(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return like(x)


def _copied(x: Tensor, *, memory_format: Any = torch.preserve_format, **_: Any) -> Tensor | None:
    if memory_format is torch.preserve_format:
        return like(x)
    return _of(x, x.shape) if memory_format is torch.contiguous_format else None


def _second(grad: Tensor, x: Tensor, *_: Any, **__: Any) -> Tensor:
    return like(x)


def _itself(x: Tensor, *_: Any, **__: Any) -> Tensor:
    return x


def _broadcast(a: Tensor, b: Any, **_: Any) -> Tensor | None:
    if not isinstance(b, Tensor) or b.ndim == 0 or a.shape == b.shape:
        return like(a)
    if a.dtype != b.dtype:
        return None
    shape = torch.broadcast_shapes(a.shape, b.shape)  # type: ignore[no-untyped-call]
    return like(a) if shape == a.shape else like(b) if shape == b.shape else _of(a, shape)


def _reduced(x: Tensor, dim: Any = None, keepdim: bool = False, **_: Any) -> Tensor:
    dims = range(x.ndim) if not dim and dim != 0 else [dim] if isinstance(dim, int) else dim
    gone = {d % x.ndim for d in dims}
    return _of(
        x, [1 if d in gone else n for d, n in enumerate(x.shape) if keepdim or d not in gone]
    )


def _joined(parts: Sequence[Tensor], dim: int = 0) -> Tensor:
    first = parts[0]
    shape = list(first.shape)
    shape[dim] = sum(part.shape[dim] for part in parts)
    return _of(first, shape)


def _pooled_to(x: Tensor, size: Sequence[int]) -> Tensor:
    return _of(x, (*x.shape[:-2], *size))


def _pooled(
    x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> Tensor | None:
    """Windows that begin inside the map or its left padding; None where none fits."""
    k, s, p, d = (
        list(v) * 2 if len(v) == 1 else list(v)
        for v in (kernel, stride or kernel, padding, dilation)
    )
    out = []
    for i in range(2):
        side = x.shape[x.ndim - 2 + i]
        room = side + 2 * p[i] - d[i] * (k[i] - 1) - 1
        count = -(-room // s[i]) + 1 if ceil_mode else room // s[i] + 1
        if ceil_mode and (count - 1) * s[i] >= side + p[i]:
            count -= 1
        if room < 0 or 2 * p[i] > k[i]:
            return None
        out.append(count)
    return _of(x, (*x.shape[:-2], *out))


def _max_pool(
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0,),
    dilation: Any = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor] | None:
    out = _pooled(x, kernel, stride, padding, dilation, ceil_mode)
    if out is None:
        return None
    return out, torch.empty(out.shape, dtype=torch.int64, device="meta")


def _average_pool(
    x: Tensor,
    kernel: Any,
    stride: Any = (),
    padding: Any = (0,),
    ceil_mode: bool = False,
    *_: Any,
) -> Tensor | None:
    return _pooled(x, kernel, stride, padding, (1,), ceil_mode)


def _product(a: Tensor, b: Tensor) -> Tensor | None:
    return _of(a, (*a.shape[:-1], b.shape[-1])) if a.shape[-1] == b.shape[-2] else None


def _product_plus(bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> Tensor | None:
    return _product(a, b)


_SHAPES: Mapping[Any, Callable[..., Any]] = {
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
    aten.native_batch_norm.default: _batch_norm,
    aten.native_batch_norm_backward.default: _batch_norm_backward,
    aten.native_layer_norm.default: _layer_norm,
    aten.native_layer_norm_backward.default: _layer_norm_backward,
    aten._adaptive_avg_pool2d.default: _pooled_to,
    aten._adaptive_avg_pool2d_backward.default: _second,
    aten.max_pool2d_with_indices.default: _max_pool,
    aten.max_pool2d_with_indices_backward.default: _second,
    aten.avg_pool2d.default: _average_pool,
    aten.avg_pool2d_backward.default: _second,
    aten.mm.default: _product,
    aten.bmm.default: _product,
    aten.addmm.default: _product_plus,
    aten.cat.default: _joined,
    aten.mean.dim: _reduced,
    aten.sum.dim_IntList: _reduced,
    aten.sum.default: _reduced,
    **dict.fromkeys(
        (
            aten.relu.default,
            aten.silu.default,
            aten.gelu.default,
            aten.sigmoid.default,
            aten.hardtanh.default,
            aten.neg.default,
        ),
        _first,
    ),
    **dict.fromkeys((aten.clone.default, aten.empty_like.default, aten.ones_like.default), _copied),
    **dict.fromkeys(
        (
            aten.threshold_backward.default,
            aten.silu_backward.default,
            aten.gelu_backward.default,
            aten.sigmoid_backward.default,
            aten.hardtanh_backward.default,
        ),
        _second,
    ),
    **dict.fromkeys(
        (
            aten.relu_.default,
            aten.silu_.default,
            aten.hardtanh_.default,
            aten.sigmoid_.default,
            aten.add_.Tensor,
            aten.mul_.Tensor,
            aten.div_.Scalar,
            aten.div_.Tensor,
            aten.bernoulli_.float,
            aten.zero_.default,
        ),
        _itself,
    ),
    **dict.fromkeys(
        (aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.div.Scalar),
        _broadcast,
    ),
}
