"""What a run writes down beside its weights: data, environment, result, and example images."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from fathom.data.load import Dataset, Split
from fathom.data.views import centre_view
from fathom.runtime import Runtime, available_cores
from fathom.training.reports import Finished
from fathom.training.run import Run
from fathom.training.setup import Setup
from fathom.version import __version__

_EXAMPLE_SIZE = 128  # pixels: the examples go into the report, up to 48 of them
_PACKAGES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "safetensors")


def describe(run: Run, setup: Setup) -> None:
    """Store data, environment, split and origin of the weights at the start of a run."""
    run.write("data", _data(setup.dataset))
    run.write("environment", environment(setup.runtime))
    if setup.weights is not None:
        run.write("weights", asdict(setup.weights))
    run.write_split(_split_rows(setup.dataset))


def _data(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "counts": {role: dataset.counts(role) for role in dataset.splits},
        "origins": dict(dataset.origins),
        "judge": dataset.judge,
        "preprocess": dataset.preprocess.to_dict(),
        "in_memory": dataset.splits["train"].views is not None,
        "bad_images": [asdict(b) for b in dataset.bad],
        "notes": list(dataset.notes),
        "fingerprint": dataset.fingerprint,
    }


def environment(runtime: Runtime) -> dict[str, Any]:
    return {
        "fathom": __version__,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": available_cores(),
        "device": str(runtime.device),
        "machine": runtime.describe(),
        "precision": runtime.precision,
        "threads": runtime.threads,
        "started": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _split_rows(dataset: Dataset) -> Iterator[tuple[str, str, str]]:
    for role, split in dataset.splits.items():
        for key, target in zip(split.images.keys, split.images.targets, strict=True):
            yield key, dataset.class_names[target], role


def write_result(run: Run, finished: Finished, dataset: Dataset) -> None:
    """Store evaluation.json, the examples it names, and result.json, which says the run is over."""
    found = finished.evaluation
    split = dataset.splits[found.split]
    examples = {}
    run.examples.mkdir(exist_ok=True)
    for confusion in found.confusions:
        for position, _ in confusion.examples:
            name = f"{found.split}-{position}.png"
            picture = _picture(split, position, dataset)
            picture.thumbnail((_EXAMPLE_SIZE, _EXAMPLE_SIZE))
            picture.save(run.examples / name)
            examples[str(position)] = {"file": name, "path": split.images.keys[position]}
    run.write("evaluation", {"evaluation": found.to_dict(), "examples": examples})
    run.write(
        "result",
        {
            "status": "finished",
            "weights": finished.weights,
            "weights_sha256": finished.weights_sha256,
            "split": found.split,
            "top1": found.top1,
            "loss": found.loss,
            "epochs": finished.epochs,
            "steps": finished.steps,
            "seconds": finished.seconds,
            "stopped_early": finished.stopped_early,
        },
    )


def _picture(split: Split, position: int, dataset: Dataset) -> Image.Image:
    """The evaluation view of one image, as the network saw it."""
    view = dataset.preprocess
    if split.views is not None:
        pixels: Tensor = split.views[position]
    else:
        images = split.images
        decoded = images.source.pixels(images.keys[position], view.channels)
        pixels = centre_view(decoded, view.image_size, view.resize, view.interpolation)
    array = np.ascontiguousarray(pixels.permute(1, 2, 0).numpy())
    return Image.fromarray(array[..., 0] if view.channels == 1 else array)
