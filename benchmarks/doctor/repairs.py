"""Is a run repaired by `fathom doctor RUN --apply`? Faults planted in recipes of `fathom train`.

    python benchmarks/doctor/repairs.py --out TRIAL --half held
    python benchmarks/doctor/table.py TRIAL --half held

A case is three runs of digits with one seed: the sick one; the one that follows from the remedy of
the doctor's first finding, whatever it is; and the healthy one, which lacks nothing but the fault.
Data faults are in the files. What is there already is kept, so that it grows over several sittings.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

import fathom
from fathom.data.settings import AugmentSettings, DataSettings, PadCrop
from fathom.doctor import Doctor
from fathom.doctor.mend import mended
from fathom.doctor.postmortem import post_mortem
from fathom.errors import UserError
from fathom.evaluate import Evaluation
from fathom.training.choices import SGD
from fathom.training.recipe import ModelSettings, Recipe
from fathom.training.run import Run
from fathom.training.settings import altered, checked, choices_first

_NETWORKS: dict[str, dict[str, ModelSettings]] = {
    "fit": {
        "resnet20": ModelSettings("cifar_resnet20"),
        "plain20": ModelSettings("cifar_plain20"),
    },
    "held": {
        "densenet": ModelSettings("cifar_densenet40_k12", {"depths": [4, 4, 4]}),
        "mobilenet": ModelSettings(
            "mobilenet_v2", {"stem": "cifar", "width": 0.5, "depths": [1, 2, 2, 2, 1, 1, 1]}
        ),
    },
}
_TRAIN = 1100  # of the 1,797 digits
_FEW, _RARE = 8, 3  # images of a class
_NOISE = 0.2


@dataclass(frozen=True)
class Fault:
    """Changes of the recipe by path, as `--set` takes them; {data} is the folder of the data.

    always: what the healthy run has, too, where the fault needs other ground.
    """

    sick: Mapping[str, str]
    always: Mapping[str, str] = field(default_factory=dict)


FAULTS: dict[str, tuple[Fault, ...]] = {
    "learning-rate-too-high": (Fault({"optimizer.lr": "8"}),),
    "learning-rate-too-low": (Fault({"optimizer.lr": "5e-5"}),),
    "weight-decay-too-strong": (Fault({"optimizer.weight_decay": "0.3"}),),
    "schedule-ends-too-early": (
        Fault({"schedule": "step", "schedule.milestones": "0.06,0.08", "schedule.gamma": "0.05"}),
        Fault({"schedule": "exponential", "schedule.final": "1e-12"}),
    ),
    "batch-too-small": (Fault({"batch_size": "2", "steps": "500", "optimizer.lr": "0.01"}),),
    "augmentation-destroys-labels": (
        Fault({"augment.cutout": "13"}),
        Fault(
            {
                "augment.erase": "erasing",
                "augment.erase.probability": "1",
                "augment.erase.min_area": "0.7",
                "augment.erase.max_area": "0.95",
            }
        ),
    ),
    "label-noise": (Fault({"data.train": "{data}/noisy"}),),
    "collapse-to-majority": (
        Fault({"sampling": "shuffled"}, {"data.train": "{data}/stepped", "sampling": "balanced"}),
    ),
    "overfitting": (
        Fault(
            {"augment.crop": "none", "optimizer.weight_decay": "0"}, {"data.train": "{data}/few"}
        ),
    ),
    "stopped-too-early": (Fault({"steps": "30", "optimizer.lr": "0.01", "schedule": "constant"}),),
}

_LOOP = "Fathom's own loop cannot have it; the remedy is lines of one's own"
_FILES = "the images or their labels have to be mended, not the recipe"
_NETWORK = "the remedy is another network, which the doctor leaves to its owner"
NOT_BY_RECIPE = {
    "steps-without-gradients": _LOOP,
    "loss-below-zero": _LOOP,
    "gradients-not-cleared": _LOOP,
    "parameters-not-optimised": _LOOP,
    "layer-frozen": _LOOP,
    "softmax-before-loss": _LOOP,
    "trained-in-eval-mode": _LOOP,
    "frozen-norm-uses-batch-statistics": _LOOP,
    "batch-statistics-in-evaluation": _LOOP,
    "dropout-in-evaluation": _LOOP,
    "input-range": _LOOP,
    "input-statistics": _LOOP,
    "classes-shifted": _LOOP,
    "not-shuffled": _LOOP,
    "same-worker-streams": _LOOP,
    "augmented-validation": _LOOP,
    "bad-initialisation": _LOOP,
    "channel-order": _FILES,
    "blank-images": _FILES,
    "leakage": _FILES,
    "splits-differ": _FILES,
    "labels-shuffled": _FILES,
    "exploding-gradients": _NETWORK,
    "vanishing-gradients": _NETWORK,
    "missing-normalisation": _NETWORK,
    "dead-relus": _NETWORK,
    "degradation": _NETWORK,
    "ema-too-slow": "Fathom's average begins with a small decay, and none is too slow for a run",
    "little-carries-over": "it is no cause: the doctor says that it found none",
    "nothing-learnt": "it is no cause: the doctor says that it found none",
}
NOT_PLANTED = {  # here, though the remedy changes the recipe
    "underfitting": "RandAugment of 8 and of 12 operations, which held resnet20 and plain20 back, "
    "was named augmentation-destroys-labels, of which the remedy is the same",
    "norm-statistics-behind": "of these networks no recipe sets the momentum of norms",
}


@dataclass(frozen=True)
class Case:
    """A fault in the recipe of a network."""

    half: str
    network: str
    cause: str
    variant: int
    fault: Fault
    seed: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.cause}-{self.variant}/{self.network}-{self.seed}"


def cases(half: str, seeds: int) -> Iterator[Case]:
    """All cases of a half, seed by seed."""
    for seed in range(seeds):
        for network in _NETWORKS[half]:
            for cause, faults in FAULTS.items():
                for variant, fault in enumerate(faults):
                    yield Case(half, network, cause, variant, fault, seed)


def healthy(case: Case, data: Path) -> Recipe:
    """The recipe without the fault."""
    usual = Recipe(
        name="trial",
        model=_NETWORKS[case.half][case.network],
        data=DataSettings(train=str(data / "clean"), val=str(data / "val")),
        image_size=8,
        augment=AugmentSettings(PadCrop(1, "black"), flip=False),
        optimizer=SGD(lr=0.05),
        batch_size=64,
        epochs=None,
        steps=220,
        seed=case.seed,
        device="cpu",
    )
    return _with(usual, case.fault.always, data)


def _with(recipe: Recipe, changes: Mapping[str, str], data: Path) -> Recipe:
    for path, text in choices_first(changes):
        recipe = altered(recipe, path, text.format(data=data))
    return checked(recipe)


def work(case: Case, out: Path) -> None:
    """Run what is missing of a case, and store what came of it."""
    file = out / "repairs" / case.half / f"{case.name}.json"
    if file.exists():
        return
    runs, data = out / "repairs" / "runs" / case.half / case.name, out / "repairs" / "data"
    well = healthy(case, data)
    twin = trained(well, _twin(case, runs.parent.parent))
    sick = trained(_with(well, case.fault.sick, data), runs / "sick")
    found = post_mortem(runs / "sick").findings
    values: dict[str, Any] = {
        "case": {"cause": case.cause, "network": case.network, "seed": case.seed},
        "variant": case.variant,
        "named": [finding.cause for finding in found],
        "changes": dict(found[0].remedy.changes) if found else {},
        "refused": None if found else "the doctor called the run healthy",
        "healthy": twin,
        "sick": sick,
        "repaired": sick,
    }
    if found:
        try:
            recipe = mended(Run.open(runs / "sick").recipe(), found[0])
        except UserError as error:
            values["refused"] = str(error)
        else:
            values["repaired"] = trained(recipe, runs / "mended")
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".partial")
    beside.write_text(json.dumps(values))
    beside.replace(file)
    print(
        f"{case.name}: {', '.join(values['named']) or 'healthy'}; sick {sick:.1%}, repaired "
        f"{values['repaired']:.1%}, healthy {twin:.1%}",
        flush=True,
    )


def _twin(case: Case, runs: Path) -> Path:
    """Faults on the same ground share the healthy run."""
    ground = f"{case.cause}-{case.variant}" if case.fault.always else "usual"
    return runs / "healthy" / f"{ground}-{case.network}-{case.seed}"


def trained(recipe: Recipe, folder: Path) -> float:
    """The accuracy of a run, from its folder where it lies there; 0 where it diverged."""
    run = Run(folder)
    if not run.has("result") or run.recipe() != recipe:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            for _ in fathom.train(recipe, out=folder, attendant=Doctor()):
                pass
        except UserError:
            if not run.has("result"):
                raise
    if run.read("result")["status"] == "diverged":
        return 0.0
    return Evaluation.from_dict(run.read("evaluation")["evaluation"]).top1


def write_digits(folder: Path) -> None:
    """Digits as files, drawn with seed 0: clean, val, and training images with a data fault each.

    noisy: a fifth of the labels are others; stepped: the first five classes have three images each;
    few: every class has eight.
    """
    from sklearn.datasets import load_digits

    digits, rng = load_digits(), random.Random(0)
    places = rng.sample(range(len(digits.target)), len(digits.target))
    labels = [int(label) for label in digits.target]
    train = places[:_TRAIN]
    each = [[place for place in train if labels[place] == c] for c in range(10)]
    noisy = set(rng.sample(train, round(_NOISE * _TRAIN)))
    parts = {
        "clean": {place: labels[place] for place in train},
        "val": {place: labels[place] for place in places[_TRAIN:]},
        "noisy": {
            place: (labels[place] + rng.randint(1, 9) * (place in noisy)) % 10 for place in train
        },
        "stepped": {p: c for c in range(10) for p in each[c][: _RARE if c < 5 else None]},
        "few": {p: c for c in range(10) for p in each[c][:_FEW]},
    }
    for name, targets in parts.items():
        for place, label in targets.items():
            file = folder / name / str(label) / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = (digits.images[place] * 255 / 16).round().astype("uint8")
            Image.fromarray(pixels).save(file)
    (folder / "written").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=("fit", "held"), required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", help="cases whose name has this in it, as resnet20-0")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    out = asked.out.absolute()
    if not (out / "repairs" / "data" / "written").exists():
        write_digits(out / "repairs" / "data")
    for case in cases(asked.half, asked.seeds):
        if asked.only is None or asked.only in case.name:
            work(case, out)


if __name__ == "__main__":
    main()
