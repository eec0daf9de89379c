"""An Apple GPU for tests on any machine: tensors of a device that has no float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class OnApple(Tensor):
    """As a tensor of the device mps: float64 is refused, and results are there too, until cpu()."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        result = super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[no-untyped-call]
        if not isinstance(result, cls):
            return result
        with torch._C.DisableTorchFunctionSubclass():
            if func is Tensor.cpu:
                return result.as_subclass(Tensor)
            if result.dtype == torch.float64:
                raise TypeError("the MPS framework doesn't support float64")
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> OnApple:
        return on_apple(self.detach().clone())


def on_apple(values: Tensor) -> OnApple:
    """The same values, as if on an Apple GPU."""
    return values.as_subclass(OnApple)
