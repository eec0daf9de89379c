"""One pass of a model on the meta device, with everything that happens in it written down.

Two listeners hear it: PyTorch's functions as the model calls them, which say how fields move, and
the kernels below them, which say what is multiplied. Neither needs memory or arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from fathom.costs.field import Sides, whole_image
from fathom.costs.functions import Call, propagate
from fathom.costs.kernels import Kernels, multiply_adds
from fathom.errors import UserError


@dataclass
class Record:
    """What happened directly in one module: not in the modules below it.

    output and sides are those of its last function, the at-th of the whole pass.
    """

    path: str
    kind: str
    functions: list[str] = field(default_factory=list)
    macs: int = 0
    calls: int = 0
    output: Tensor | None = None
    sides: Sides | None = None
    at: int = 0


class _Counted(Kernels):
    """Adds up multiply-adds where they happen, and knows the last kernel if it fails."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.trace.last = str(func)
        out = self.run(func, args, kwargs)
        macs = multiply_adds(func, args, out)
        if macs:
            self.trace.record().macs += macs
        return out


class _Functions(TorchFunctionMode):
    """Moves fields along, and notes which functions a module calls itself."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        outputs = [o for o in (out if isinstance(out, tuple | list) else (out,)) if _is_map(o)]
        if outputs:
            self.trace.called(func.__name__, Call(args, kwargs or {}), outputs)
        return out


def _is_map(value: object) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


class Trace:
    """Records of a pass, by path of the module, in the order in which they began."""

    def __init__(self, model: nn.Module) -> None:
        self.records: dict[str, Record] = {}
        self.paths = {module: path for path, module in model.named_modules()}
        self.kinds = {path: type(module).__name__ for module, path in self.paths.items()}
        self.stack: list[str] = [""]
        self.last = "nothing"
        self.calls = 0
        self.fields: dict[int, tuple[Tensor, Sides]] = {}

    def record(self) -> Record:
        """Of the module that is running."""
        path = self.stack[-1]
        if path not in self.records:
            self.records[path] = Record(path, self.kinds.get(path, ""))
        return self.records[path]

    def called(self, name: str, call: Call, outputs: Sequence[Tensor]) -> None:
        """A function gave outputs; their fields follow from those of its inputs."""
        inputs = [self.fields[id(t)] for t in _tensors(call) if id(t) in self.fields]
        if not inputs:
            return
        record = self.record()
        if name not in record.functions and not name.startswith("__get"):
            record.functions.append(name)
        for output in outputs:
            sides = propagate(name, inputs, call, output)
            self.fields[id(output)] = (output, sides)
            self.calls += 1
            record.output, record.sides, record.at = output, sides, self.calls

    @contextmanager
    def listening(self, model: nn.Module) -> Iterator[None]:
        """Follow which module is running."""

        def enter(module: nn.Module, _: Any) -> None:
            self.stack.append(self.paths.get(module, ""))
            self.record().calls += 1

        def leave(module: nn.Module, _: Any, __: Any) -> None:
            self.stack.pop()

        with ExitStack() as hooks:
            for module in model.modules():
                hooks.callback(module.register_forward_pre_hook(enter).remove)
                hooks.callback(module.register_forward_hook(leave).remove)
            yield


def _tensors(call: Call) -> Iterator[Tensor]:
    for value in (*call.args, *call.kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (v for v in value if isinstance(v, Tensor))


@contextmanager
def in_mode(model: nn.Module, *, training: bool) -> Iterator[None]:
    """The model in one mode, every module of it; afterwards each in its own again."""
    before = {module: module.training for module in model.modules()}
    try:
        model.train(training)
        yield
    finally:
        for module, mode in before.items():
            module.training = mode


def on_meta(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and buffers as shapes without values, tied ones tied."""
    twins: dict[int, Tensor] = {}

    def twin(tensor: Tensor) -> Tensor:
        if id(tensor) not in twins:
            twins[id(tensor)] = torch.empty(
                tensor.shape, dtype=tensor.dtype, device="meta"
            ).requires_grad_(tensor.requires_grad)
        return twins[id(tensor)]

    named = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    return {name: twin(tensor) for name, tensor in named}


def trace(model: nn.Module, shape: tuple[int, ...]) -> Trace:
    """What happens in one evaluation pass of images of (N, C, H, W) shape.

    Raises UserError naming the operation where the model cannot run without values.
    """
    found = Trace(model)
    dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    images, weights = torch.empty(shape, device="meta", dtype=dtype), on_meta(model)
    found.fields[id(images)] = (images, whole_image((len(shape) - 2, len(shape) - 1)))
    with (
        in_mode(model, training=False),
        torch.no_grad(),
        found.listening(model),
        untraceable(found, shape),
        _Counted(found),
        _Functions(found),
    ):
        functional_call(model, weights, (images,), tie_weights=False)
    return found


@contextmanager
def untraceable(found: Trace, shape: tuple[int, ...]) -> Iterator[None]:
    """Turn what a model raises on the meta device into one message."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        path = found.stack[-1] or "the model's own forward"
        reason = str(error).strip().splitlines()
        size = "x".join(str(side) for side in shape)
        raise UserError(
            f"cannot trace {path} ({found.kinds.get(found.stack[-1], '')}) on images of {size}: "
            f"after {found.last}, {type(error).__name__}: {reason[0][:300] if reason else ''}. "
            "Counting runs the model without values, so that nothing may depend on them; check "
            "image_size and in_channels, too"
        ) from error
