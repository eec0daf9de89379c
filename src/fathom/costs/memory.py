"""Memory of a pass: what autograd keeps, and the most that is alive at any moment.

Nothing is estimated from rules. The model runs forward and backward on the meta device, where
tensors have sizes but no contents, and every storage is followed from its birth to its end.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from fathom.costs.kernels import Kernels
from fathom.costs.trace import Trace, in_mode, on_meta, untraceable


@dataclass(frozen=True)
class Memory:
    """Bytes of passes over one batch.

    saved: kept for the backward pass, by path of the module. training: the most alive in a step of
    SGD with momentum, with weights, gradients and momentum. inference: the most alive in an
    evaluation pass, with weights.
    """

    saved: dict[str, int]
    training: int
    inference: int


class _Alive(Kernels):
    """Bytes of all storages that are alive, and the most there ever were."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self.sizes: dict[int, int] = {}
        self.now = self.most = 0

    def hold(self, tensor: Tensor) -> None:
        """Follow the storage of a tensor from now on."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self.sizes:
            return
        self.sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self.release, key)

    def release(self, key: int) -> None:
        """A storage has ended."""
        self.now -= self.sizes.pop(key)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.trace.last = str(func)
        out = self.run(func, args, kwargs)
        for leaf in out if isinstance(out, tuple | list) else (out,):
            if isinstance(leaf, Tensor):
                self.hold(leaf)
        return out


class _AnyBatch(TorchFunctionMode):
    """Batch norm without PyTorch's refusal of one value a channel, which is about values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.batch_norm:
            return func(*args, **(kwargs or {}))
        x, mean, var, *rest = args
        options = dict(zip(("weight", "bias", "training", "momentum", "eps"), rest, strict=False))
        options = {**_NORM_DEFAULTS, **options, **(kwargs or {})}
        weight, bias, training, momentum, eps = options.values()
        return torch.batch_norm(x, weight, bias, mean, var, training, momentum, eps, False)


_NORM_DEFAULTS = {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5}


def memory(model: nn.Module, shape: tuple[int, ...]) -> Memory:
    """Follow a training step and an evaluation pass of (N, C, H, W) images of this shape.

    Raises UserError naming the operation where the model cannot run without values.
    """
    weights = on_meta(model)
    own = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in weights.values()}
    trained = sum(t.numel() * t.element_size() for t in set(weights.values()) if t.requires_grad)
    saved, training = _training(model, weights, shape)
    inference = _inference(model, weights, shape)
    fixed = sum(own.values())
    return Memory(saved, fixed + trained + training, fixed + inference)


def _images(model: nn.Module, shape: tuple[int, ...]) -> Tensor:
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    return torch.empty(shape, device="meta", dtype=dtype)


@contextmanager
def _following(model: nn.Module, shape: tuple[int, ...], mode: bool) -> Iterator[_Alive]:
    found = Trace(model)
    alive = _Alive(found)
    with in_mode(model, training=mode), found.listening(model), untraceable(found, shape), alive:
        yield alive


def _training(
    model: nn.Module, weights: dict[str, Tensor], shape: tuple[int, ...]
) -> tuple[dict[str, int], int]:
    kept = {t.untyped_storage()._cdata: t.untyped_storage() for t in weights.values()}
    saved: dict[str, int] = {}
    with _following(model, shape, True) as alive, torch.enable_grad():

        def pack(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage._cdata not in kept:
                kept[storage._cdata] = storage
                path = alive.trace.stack[-1]
                saved[path] = saved.get(path, 0) + storage.nbytes()
            return tensor

        for tensor in weights.values():
            alive.sizes[tensor.untyped_storage()._cdata] = 0  # counted by the caller
        images = _images(model, shape)
        alive.hold(images)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), _AnyBatch():
            output = functional_call(model, weights, (images,), tie_weights=False)
        kept.clear()
        results = [t for t in tree_leaves(output) if isinstance(t, Tensor) and t.requires_grad]
        del output
        loss = results[0].sum()
        for result in results[1:]:
            loss = loss + result.sum()
        del results
        loss.backward()  # type: ignore[no-untyped-call]
    return saved, alive.most


def _inference(model: nn.Module, weights: dict[str, Tensor], shape: tuple[int, ...]) -> int:
    with _following(model, shape, False) as alive, torch.no_grad():
        for tensor in weights.values():
            alive.sizes[tensor.untyped_storage()._cdata] = 0
        images = _images(model, shape)
        alive.hold(images)
        functional_call(model, weights, (images,), tie_weights=False)
    return alive.most
