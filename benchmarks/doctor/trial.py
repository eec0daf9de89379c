"""The trial of the doctor: faults planted in real runs, and healthy runs beside them.

    python benchmarks/doctor/trial.py --out TRIAL --half fit --fashion FOLDER --cifar10 TRAIN TEST
    python benchmarks/doctor/table.py TRIAL --half held

Every case is a process's worth of seconds and one JSON file: what was seen, and the accuracy. Cases
that are there already are kept, so that a trial grows over several sittings; several processes may
work on one folder. Findings are not stored: table.py draws them anew from what was seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from faults import FAULTS, HEALTHY, Change, Fits
from loops import Plan, run
from networks import networks
from worlds import World, kept, worlds

_RATE = 0.05
_RATES = {"cnn": 0.01}  # without norms


@dataclass(frozen=True)
class Case:
    """One run of the trial; cause is None for a healthy one."""

    half: str
    network: str
    world: str
    cause: str | None
    variant: str
    seed: int
    change: Change
    fits: Fits

    @property
    def file(self) -> str:
        """Where it is kept."""
        name = f"{self.cause or 'healthy'}-{self.variant}".replace(" ", "_")
        return f"{self.half}/{name}/{self.network}-{self.world}-{self.seed}.json"


def cases(half: str, names: list[str], seeds: int, healthy_seeds: int) -> Iterator[Case]:
    """All cases of a half, seed by seed."""
    for seed in range(max(seeds, healthy_seeds)):
        for world in names:
            for network in networks(half):
                if seed < seeds:
                    for cause, variants in FAULTS.items():
                        for number, (change, fits) in enumerate(variants):
                            yield Case(half, network, world, cause, str(number), seed, change, fits)
                if seed < healthy_seeds:
                    for name, (change, fits) in HEALTHY.items():
                        yield Case(half, network, world, None, name, seed, change, fits)


def work(case: Case, world: World, out: Path) -> None:
    """Run one case, unless it is there or does not suit the network."""
    file = out / case.file
    model = networks(case.half)[case.network](world.train_images.shape[1], 10)
    if file.exists() or not case.fits(model):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(world, case.half, case.network, case.seed, lr=_RATES.get(case.network, _RATE))
    plan = case.change(plan)
    began = time.monotonic()
    try:
        found = run(plan)
    except Exception:
        traceback.print_exc(file=sys.stderr)
        print(f"{case.file}: broke off", flush=True)
        return
    values = {
        "case": {
            "half": case.half,
            "network": case.network,
            "world": case.world,
            "cause": case.cause,
            "variant": case.variant,
            "seed": case.seed,
            "truth": plan.truth,
        },
        "top1": found.top1,
        "seconds": time.monotonic() - began,
        "doctor_seconds": found.seconds,
        "observed": found.observed.to_dict(),
        "trace": found.trace.to_dict(),
    }
    beside = file.with_suffix(".partial")
    beside.write_text(json.dumps(values))
    beside.replace(file)
    print(f"{case.file}: {100 * found.top1:.1f} %, {values['seconds']:.0f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--half", choices=("fit", "held"), required=True)
    parser.add_argument("--fashion", metavar="FOLDER", help="where torchvision's FashionMNIST lies")
    parser.add_argument("--cifar10", nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--healthy-seeds", type=int, default=2)
    parser.add_argument("--only", help="cases whose file has this in its name")
    parser.add_argument("--part", nargs=2, type=int, default=(0, 1), metavar=("K", "OF"))
    asked = parser.parse_args()
    made = worlds(asked.fashion, asked.cifar10)
    # One data set is held out: CIFAR-10 judges, and sets no threshold.
    chosen = [n for n in made if (n == "cifar10") == (asked.half == "held")] or list(made)
    if asked.half == "held":
        chosen = list(made)
    loaded = {name: kept(asked.out / "worlds" / f"{name}.pt", made[name]) for name in chosen}
    torch.set_num_threads(1)
    part, of = asked.part
    for number, case in enumerate(cases(asked.half, chosen, asked.seeds, asked.healthy_seeds)):
        if number % of == part and (asked.only is None or asked.only in case.file):
            work(case, loaded[case.world], asked.out)


if __name__ == "__main__":
    main()
