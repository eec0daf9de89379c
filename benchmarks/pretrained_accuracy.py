"""Top-1 and top-5 of pretrained weights on labelled photographs in a zip, by the weights' own view.

python benchmarks/pretrained_accuracy.py photos.zip labels.csv --weights lite \
    --models efficientnet_lite0 efficientnet_lite1 efficientnet_lite2

labels.csv has the columns file and class_index (of ImageNet's 1000 classes in their usual order).
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import torch

import fathom
from fathom.data.sources import Zip
from fathom.data.views import centre_view
from fathom.evaluate import wilson


def main() -> None:
    """Print a line a network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--weights", default="lite")
    parser.add_argument("--models", nargs="+", default=["efficientnet_lite0"])
    options = parser.parse_args()
    with options.labels.open(newline="") as file:
        labels = {row["file"]: int(row["class_index"]) for row in csv.DictReader(file)}
    source = Zip(options.archive)
    pictures = {name: source.pixels(name, 3) for name in labels}
    targets = torch.tensor(list(labels.values()))
    for name in options.models:
        model = fathom.create_model(name, weights=options.weights).eval()
        view = model.preprocess
        assert view is not None
        before = time.perf_counter()
        views = torch.stack(
            [
                centre_view(p, view.image_size, view.resize, view.interpolation)
                for p in pictures.values()
            ]
        )
        seen = time.perf_counter()
        model = model.to(memory_format=torch.channels_last)
        with torch.inference_mode():
            logits = torch.cat([model(view.normalise(part)) for part in torch.split(views, 50)])
        done = time.perf_counter()
        ranks = (logits.topk(5).indices == targets[:, None]).float()
        right = int(ranks[:, 0].sum())
        low, high = wilson(right, len(targets))
        print(
            f"{name} {options.weights}: top-1 {right / len(targets):.2%} of {len(targets)} "
            f"(95 % interval {low:.2%} to {high:.2%}), top-5 {ranks.sum(1).mean():.2%}; "
            f"short side {view.resize} {view.interpolation}, crop {view.image_size}; "
            f"views {seen - before:.1f} s, network {done - seen:.1f} s"
        )


if __name__ == "__main__":
    main()
