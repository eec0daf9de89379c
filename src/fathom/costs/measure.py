"""Time and memory as they are on this machine: medians, spread, and how far from its arithmetic."""

from __future__ import annotations

import ctypes
import gc
import platform
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from fathom.costs.trace import in_mode
from fathom.errors import UserError
from fathom.runtime import Runtime, available_memory

_MATRIX = 2048  # side of the product that the machine's arithmetic is measured with
_SECONDS = 1.5  # of repeats for one measurement, after warming up
_LEAST, _MOST = 5, 200  # repeats
_MMAP_THRESHOLD = -3  # mallopt's name for it


@dataclass(frozen=True)
class Speed:
    """Seconds for one batch: the median and the middle half of the repeats.

    share: of the machine's rate of multiplying matrices that the model's FLOPs reach.
    """

    batch_size: int
    seconds: float
    low: float
    high: float
    repeats: int
    share: float

    @property
    def images_per_second(self) -> float:
        """Throughput at the median."""
        return self.batch_size / self.seconds


@dataclass(frozen=True)
class Times:
    """Raw seconds of repeats: median and quartiles."""

    median: float
    low: float
    high: float
    repeats: int


def matmul_flops(runtime: Runtime) -> float:
    """Operations a second of a large matrix product, in the precision that the runtime computes in.

    Two operations for every multiply-add, as everywhere.
    """
    dtype = runtime.autocast_dtype or torch.float32
    a = torch.randn(_MATRIX, _MATRIX, device=runtime.device, dtype=dtype)
    return 2 * _MATRIX**3 / _timed(lambda: a @ a, runtime).median


def speed(
    model: nn.Module, shape: tuple[int, ...], runtime: Runtime, *, flops: int, rate: float
) -> Speed:
    """Time evaluation passes of (N, C, H, W) images of this shape.

    flops: operations of one image; rate: the machine's, from `matmul_flops`.
    """
    images = _images(shape, runtime)
    with in_mode(model, training=False), torch.inference_mode(), _autocast(runtime):
        found = _timed(lambda: model(images), runtime)
    share = flops * shape[0] / found.median / rate
    return Speed(shape[0], found.median, found.low, found.high, found.repeats, share)


def filling_batch(
    model: nn.Module, shape: tuple[int, ...], runtime: Runtime, *, image_bytes: int
) -> int:
    """The batch size, a power of two, beyond which a twice larger one is not 5 % faster an image.

    image_bytes: memory of one image, which bounds it to an eighth of what is free.
    """
    size, best = 1, 0.0
    while size <= 256 and size * image_bytes < available_memory() // 8:
        images = _images((size, *shape[1:]), runtime)
        with in_mode(model, training=False), torch.inference_mode(), _autocast(runtime):
            found = size / _timed(lambda: model(images), runtime, seconds=0.3, least=2).median  # noqa: B023
        if found < 1.05 * best:
            return size // 2
        size, best = size * 2, found
    return max(1, size // 2)


def _images(shape: tuple[int, ...], runtime: Runtime) -> Tensor:
    images = torch.randn(shape, device=runtime.device)
    return images.to(memory_format=torch.channels_last) if len(shape) == 4 else images


def _autocast(runtime: Runtime) -> torch.autocast | nullcontext[None]:
    if runtime.autocast_dtype is None:
        return nullcontext()
    return torch.autocast(runtime.device.type, runtime.autocast_dtype)


def _timed(
    run: Callable[[], object], runtime: Runtime, *, seconds: float = _SECONDS, least: int = _LEAST
) -> Times:
    """Repeats after two that are not counted, for some seconds."""

    def once() -> float:
        start = time.perf_counter()
        run()
        _wait(runtime)
        return time.perf_counter() - start

    once()
    once()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < least or (time.perf_counter() < end and len(times) < _MOST):
        times.append(once())
    low, _, high = statistics.quantiles(times, n=4)
    return Times(statistics.median(times), low, high, len(times))


def _wait(runtime: Runtime) -> None:
    if runtime.device.type == "cuda":
        torch.cuda.synchronize(runtime.device)
    elif runtime.device.type == "mps":
        torch.mps.synchronize()


def training_memory(model: nn.Module, shape: tuple[int, ...], runtime: Runtime) -> int:
    """Bytes at the peak of a training step of SGD with momentum, weights and momentum included.

    The model is trained for three steps on noise, so give one that may change. On CUDA as its
    allocator says. On a CPU under Linux as the kernel says, with freed blocks returned at once:
    glibc's default keeps some for later.

    Raises UserError where neither can be asked.
    """
    cuda = runtime.device.type == "cuda"
    if not cuda and not (runtime.device.type == "cpu" and platform.system() == "Linux"):
        raise UserError(
            f"peak memory is measured on CUDA and on Linux; here is {platform.system()} with "
            f"{runtime.device.type}"
        )
    images = _images(shape, runtime)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with _autocast(runtime):
            outputs = [t for t in tree_leaves(model(images)) if isinstance(t, Tensor)]
        targets = torch.zeros(shape[0], dtype=torch.long, device=runtime.device)
        loss = torch.stack([F.cross_entropy(o.float(), targets) for o in outputs]).sum()
        del outputs
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    with in_mode(model, training=True), torch.enable_grad():
        if not cuda:
            ctypes.CDLL(None).mallopt(_MMAP_THRESHOLD, 65536)
        step()
        step()
        optimizer.zero_grad(set_to_none=True)
        gc.collect()
        if cuda:
            torch.cuda.reset_peak_memory_stats(runtime.device)
            step()
            return torch.cuda.max_memory_allocated(runtime.device)
        # Weights and momentum are resident already, so they are added to what the step adds.
        fixed = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
        fixed += sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        step()
        images_bytes = images.numel() * images.element_size()
        return fixed + images_bytes + _status("VmHWM") - before


def _status(key: str) -> int:
    """Bytes of a field of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    raise UserError(f"the kernel does not say {key} of this process")
