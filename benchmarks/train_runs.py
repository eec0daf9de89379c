"""Train one recipe with several seeds and print a JSON line a run, and the spread at the end.

    python benchmarks/train_runs.py --train train.zip --val test.zip --seeds 3 epochs=9

Changes of the recipe are given as path=value, as to `fathom train --set`. Needs none of the command
line's dependencies, so it also runs where only PyTorch, torchvision and safetensors are installed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import fathom
from fathom.data.settings import DataSettings
from fathom.training.reports import EpochReport, Finished, Started


def main() -> None:
    """Parse, train, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", help="training images; the digits by default")
    parser.add_argument("--val", help="test images")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs-shown", action="store_true", help="print a line an epoch, too")
    parser.add_argument("changes", nargs="*", help="path=value")
    options = parser.parse_args()
    data = DataSettings(
        source=None if options.train else "digits", train=options.train, test=options.val
    )
    changes = dict(text.split("=", 1) for text in options.changes)
    scores = []
    for seed in range(options.seeds):
        finished = _run(options, data, {**changes, "seed": str(seed)})
        scores.append(finished.evaluation.top1)
    spread = statistics.stdev(scores) if len(scores) > 1 else None
    print(json.dumps({"changes": changes, "mean": statistics.mean(scores), "stdev": spread}))


def _run(options: argparse.Namespace, data: DataSettings, changes: dict[str, str]) -> Finished:
    began = time.monotonic()
    recipe = fathom.recipe(options.recipe, data, changes=changes)
    speeds = []
    with tempfile.TemporaryDirectory() as folder:
        for report in fathom.train(recipe, out=Path(folder) / "run"):
            if isinstance(report, Started):
                print(report.machine, report.model, report.total_steps, flush=True)
            if isinstance(report, EpochReport):
                speeds.append(report.images_per_second)
                if options.epochs_shown:
                    print(report, flush=True)
            if isinstance(report, Finished):
                finished = report
    line = {
        "seed": recipe.seed,
        "top1": finished.evaluation.top1,
        "loss": finished.evaluation.loss,
        "epochs": finished.epochs,
        "seconds": round(finished.seconds, 2),
        "whole": round(time.monotonic() - began, 2),
        "images_per_second": round(statistics.median(speeds)),
        "sha256": finished.weights_sha256[:16],
    }
    print(json.dumps(line), flush=True)
    return finished


if __name__ == "__main__":
    main()
