"""How long the first answers take: commands run in turn, median and range in seconds.

python benchmarks/startup.py --runs 15
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

PYTHON = [sys.executable, "-c"]
COMMANDS = {
    "fathom --help": [sys.executable, "-m", "fathom", "--help"],
    "fathom --version": [sys.executable, "-m", "fathom", "--version"],
    "fathom models": [sys.executable, "-m", "fathom", "models"],
    "fathom models resnet50": [sys.executable, "-m", "fathom", "models", "resnet50"],
    "fathom cost resnet152": [sys.executable, "-m", "fathom", "cost", "resnet152"],
    "import torch": [*PYTHON, "import torch"],
    "import fathom": [*PYTHON, "import fathom"],
    "import fathom, and its trainer": [*PYTHON, "import fathom; fathom.train"],
}


def main() -> None:
    """Time every command in turn, after one round that is not counted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(options.runs + 1):
        for name, command in COMMANDS.items():
            before = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if number:
                times[name].append(time.perf_counter() - before)
    torch = times["import torch"]
    for name, seconds in times.items():
        ratio = statistics.median(a / b for a, b in zip(seconds, torch, strict=True))
        print(
            f"{name:32s} median {statistics.median(seconds):.3f}  "
            f"{min(seconds):.3f} to {max(seconds):.3f}  times import torch {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
