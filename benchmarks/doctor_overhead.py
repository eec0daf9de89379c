"""What the doctor costs: steps of training with and without, side by side, in turn.

python benchmarks/doctor_overhead.py --rounds 20 --steps 100

Both sides train the same network from the same weights on the same images. A round is so many steps
of one and then of the other, which of them is first changes from round to round, and what is
reported is the median over rounds of the ratio of their times, with its range. Memory is the peak
of each side, measured in a process of its own: of the allocator on CUDA, of the process elsewhere.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from fathom.doctor import Watch
from fathom.models.registry import build_model
from fathom.runtime import choose_runtime, configured, generator

CASES = {"cifar_resnet20": (32, 128, 10), "resnet50": (64, 32, 100)}  # pixels, batch, classes


def stepper(name: str, device: torch.device, *, watched: bool) -> Callable[[int], float]:
    """A function that takes so many steps and returns their seconds."""
    size, batch, classes = CASES[name]
    torch.manual_seed(0)
    model = build_model(name, num_classes=classes, in_channels=3).to(device).train()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    rng = generator(0, "overhead")
    images = torch.randn(batch, 3, size, size, generator=rng).to(device)
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, classes, (batch,), generator=rng).to(device)
    watch = Watch(model, optimizer) if watched else None

    def run(steps: int) -> float:
        began = time.perf_counter()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(model(images), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            value = loss.item()  # as the trainer does: one trip to the host a step
            if watch is not None:
                watch.step(value, targets)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    return run


def times(name: str, device: torch.device, rounds: int, steps: int) -> list[float]:
    """The ratio of the times of every round, after one that is not counted."""
    sides = {on: stepper(name, device, watched=on) for on in (False, True)}
    ratios = []
    for number in range(rounds + 1):
        order = (False, True) if number % 2 else (True, False)
        seconds = {on: sides[on](steps) for on in order}
        if number:
            ratios.append(seconds[True] / seconds[False])
    return ratios


def peak(name: str, device: str, steps: int, watched: bool) -> int:
    """Bytes at the peak of a run in this process, which nothing else has used."""
    runtime = choose_runtime(device)
    with configured(runtime):
        stepper(name, runtime.device, watched=watched)(steps)
    if runtime.device.type == "cuda":
        return torch.cuda.max_memory_allocated(runtime.device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", choices=CASES)
    options = parser.parse_args()
    runtime = choose_runtime(options.device)
    print(f"{runtime.describe()}; {options.rounds} rounds of {options.steps} steps")
    for name in [options.only] if options.only else CASES:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            asked = [(name, options.device, options.steps, on) for on in (False, True)]
            without, with_doctor = pool.starmap(peak, asked, chunksize=1)
        with configured(runtime):
            ratios = times(name, runtime.device, options.rounds, options.steps)
        print(
            f"{name:16s} step time times {statistics.median(ratios):.4f} ({min(ratios):.4f} to "
            f"{max(ratios):.4f}); peak memory {with_doctor / 2**20:.0f} MiB against "
            f"{without / 2**20:.0f} MiB, times {with_doctor / without:.4f}"
        )


if __name__ == "__main__":
    main()
