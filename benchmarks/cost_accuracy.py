"""Estimated against measured memory of training steps, and seconds that counting takes.

python benchmarks/cost_accuracy.py memory --batch 16 resnet18 resnet50
python benchmarks/cost_accuracy.py seconds

Memory: a process a network, its peak as the kernel says, once with freed blocks returned at once
(as `fathom cost --measure` does) and once with the C library's defaults.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace

import torch

import fathom
from fathom.costs import measure
from fathom.runtime import choose_runtime, configured

TEN = [
    *("alexnet", "vgg11", "googlenet", "resnet18", "resnet50", "densenet121"),
    *("se_resnet50", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"),
]


def child(name: str, batch: int, allocator: str) -> None:
    """Measure one network and print bytes."""
    if allocator == "default":
        libc = ctypes.CDLL(None)
        plain = SimpleNamespace(mallopt=lambda *_: 0, malloc_trim=libc.malloc_trim)
        vars(measure)["ctypes"] = SimpleNamespace(CDLL=lambda _: plain)
    runtime = choose_runtime("cpu")
    with configured(runtime):
        model = fathom.create_model(name).to(memory_format=torch.channels_last)
        print(json.dumps(measure.training_memory(model, (batch, 3, 224, 224), runtime)))


def memory(names: list[str], batch: int) -> None:
    """A row a network."""
    print(f"batch {batch} at 224 pixels, MiB: estimated, measured, ratio; with C library defaults")
    ratios = []
    for name in names:
        with torch.device("meta"):
            model = fathom.create_model(name)
        estimate = fathom.cost(model, image_size=224, batch_size=batch).training_bytes
        found = []
        for allocator in ("strict", "default"):
            command = [sys.executable, __file__, "child", name, "--batch", str(batch)]
            command += ["--allocator", allocator]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found.append(int(json.loads(out)))
        ratios.append(estimate / found[0])
        print(
            f"{name:16} {estimate / 2**20:8.0f} {found[0] / 2**20:8.0f} {ratios[-1]:6.3f}   "
            f"{found[1] / 2**20:8.0f} {estimate / found[1]:6.3f}",
            flush=True,
        )
    print(f"ratio: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


def seconds() -> None:
    """Time `fathom.cost` for every network of the zoo, the median of five."""
    times = {}
    for name in fathom.list_models():
        card = fathom.model_card(name)
        with torch.device("meta"):
            model = fathom.create_model(name)
        found = []
        for _ in range(5):
            before = time.perf_counter()
            fathom.cost(model, image_size=card.image_size)
            found.append(time.perf_counter() - before)
        times[name] = statistics.median(found)
    slowest = sorted(times, key=lambda name: -times[name])[:8]
    print(f"{len(times)} networks, {sum(times.values()):.1f} s together; the slowest, in seconds:")
    print(", ".join(f"{name} {times[name]:.2f}" for name in slowest))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["memory", "seconds", "child"])
    parser.add_argument("names", nargs="*", default=TEN)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--allocator", choices=["strict", "default"], default="strict")
    options = parser.parse_args()
    if options.what == "child":
        child(options.names[0], options.batch, options.allocator)
    elif options.what == "memory":
        memory(options.names, options.batch)
    else:
        seconds()


if __name__ == "__main__":
    main()
