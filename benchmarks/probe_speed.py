"""A probe on pretrained features: Fathom's, and timm's network in eager PyTorch with scikit-learn.

python benchmarks/probe_speed.py --train-data train.zip --test-data test.zip --images 5000

Both take the same images through EfficientNet-Lite0 with the same weights and the same evaluation
view, choose among the same strengths of logistic regression by five folds, and name the same test
images. Each side runs in a process of its own, in turns; the table shows the median round. Theirs
is written as timm's documentation has it: create_transform, a DataLoader with as many workers as
ours, no_grad, NCHW; then features of mean 0 and deviation 1 and scikit-learn's
LogisticRegressionCV.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import subprocess
import sys
import time
from importlib import import_module
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from fathom.data.batches import loader_workers
from fathom.data.catalog import ImageList, open_catalog
from fathom.data.load import Split
from fathom.data.settings import DataSettings
from fathom.data.sources import FileSource
from fathom.features.backbone import find_backbones
from fathom.features.extract import Looks, balanced_order, extract, gather
from fathom.models.base import ImageClassifier
from fathom.preprocess import Preprocess
from fathom.runtime import available_cores, choose_runtime, configured
from fathom.transfer.probe import STRENGTHS, fit_probe
from fathom.weights.load import reference_state_dict

Result = dict[str, float]


def pretrained() -> tuple[ImageClassifier, Preprocess]:
    """EfficientNet-Lite0 with its weights, and how images are prepared for it."""
    model = find_backbones("lite")[0].build()
    assert model.preprocess is not None
    return model, model.preprocess


def ours(train: ImageList, test: ImageList) -> Result:
    """Seconds of Fathom's features and fit, and the accuracy."""
    runtime = choose_runtime("cpu")
    model, view = pretrained()
    with configured(runtime):

        def features(images: ImageList) -> tuple[Tensor, Tensor]:
            looks = Looks(stages=False)
            found = gather(list(extract(model, Split(images, None), view, looks, runtime=runtime)))
            return found.values, found.targets

        began = time.perf_counter()
        values, targets = features(train)
        fitted = time.perf_counter()
        probe = fit_probe(values, targets, num_classes=len(set(train.targets)), seed=0)
        ended = time.perf_counter()
        values, targets = features(test)
    right = (probe.logits(values).argmax(1) == targets).double().mean()
    return {"features": fitted - began, "fit": ended - fitted, "top1": float(right)}


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """Files through a transform, as in any tutorial."""

    def __init__(self, images: ImageList, transform: Any) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        source = self.images.source
        assert isinstance(source, FileSource), "give the images as files, with --train-data"
        with Image.open(io.BytesIO(source.read(self.images.keys[index]))) as picture:
            return self.transform(picture.convert("RGB")), self.images.targets[index]


def theirs(train: ImageList, test: ImageList) -> Result:
    """Seconds of timm's features and scikit-learn's fit, and the accuracy."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import StandardScaler

    timm: Any = import_module("timm")
    own, view = pretrained()
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(reference_state_dict(own, "timm"))
    model = model.eval()
    config = timm.data.resolve_model_data_config(model)
    config |= {"mean": view.mean, "std": view.std, "crop_pct": view.image_size / view.resize}
    transform = timm.data.create_transform(**config, is_training=False)
    runtime = choose_runtime("cpu")
    torch.set_num_threads(runtime.threads)

    @torch.no_grad()
    def features(images: ImageList) -> tuple[Any, Any]:
        loader = DataLoader(
            Pictures(images, transform),
            batch_size=64,
            num_workers=loader_workers("auto", runtime),
        )
        rows, targets = [], []
        for batch, labels in loader:
            rows.append(model.forward_head(model.forward_features(batch), pre_logits=True))
            targets.append(labels)
        return torch.cat(rows).numpy(), torch.cat(targets).numpy()

    began = time.perf_counter()
    values, targets = features(train)
    fitted = time.perf_counter()
    scaler = StandardScaler().fit(values)
    # Of unit deviation, D features are sqrt(D) long, and Fathom's strengths are for length 1.
    inverse = [1 / (strength * values.shape[1]) for strength in STRENGTHS]
    search = LogisticRegressionCV(
        Cs=inverse,
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        max_iter=1000,
        n_jobs=runtime.threads,
    )
    search.fit(scaler.transform(values), targets)
    ended = time.perf_counter()
    values, targets = features(test)
    right = (search.predict(scaler.transform(values)) == targets).mean()
    return {"features": fitted - began, "fit": ended - fitted, "top1": float(right)}


def chosen(images: ImageList, count: int) -> ImageList:
    """So many images, as many of every class."""
    return images.take(balanced_order(images.targets, 0)[:count].tolist())


def run(side: str, arguments: list[str]) -> Result:
    """One side in a process of its own, whose last line is the result."""
    command = [sys.executable, __file__, *arguments, "--side", side]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: Result = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run both sides in turns and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train-data", required=True)
    parser.add_argument("--test-data", required=True)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--test-images", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--side", choices=("ours", "theirs"))
    options = parser.parse_args()
    if options.side is not None:
        settings = DataSettings(train=options.train_data, test=options.test_data)
        splits = open_catalog(settings).splits
        train = chosen(splits["train"], options.images)
        test = chosen(splits["test"], options.test_images)
        print(json.dumps((ours if options.side == "ours" else theirs)(train, test)))
        return
    rounds: dict[str, list[Result]] = {"ours": [], "theirs": []}
    for _ in range(options.rounds):
        for side, results in rounds.items():
            results.append(run(side, sys.argv[1:]))
            print(side, results[-1], file=sys.stderr)
    show(rounds, options)


def show(rounds: dict[str, list[Result]], options: argparse.Namespace) -> None:
    """The median round of each side, part by part."""

    def seconds(side: str, *parts: str) -> float:
        return statistics.median(sum(result[part] for part in parts) for result in rounds[side])

    print(
        f"{options.images:,} images, {options.rounds} rounds, "
        f"{choose_runtime('cpu').threads} threads, {available_cores()} cores\n"
    )
    print("| part | Fathom | timm and scikit-learn | ratio |")
    print("| --- | --- | --- | --- |")
    for name, parts in (
        ("decode and features", ("features",)),
        ("fit", ("fit",)),
        ("together", ("features", "fit")),
    ):
        mine, other = seconds("ours", *parts), seconds("theirs", *parts)
        print(f"| {name} | {mine:.1f} s | {other:.1f} s | {other / mine:.2f} |")
    top1 = [f"{statistics.median(r['top1'] for r in rounds[side]):.1%}" for side in rounds]
    print(f"| accuracy of {options.test_images:,} test images | {' | '.join(top1)} | |")


if __name__ == "__main__":
    main()
