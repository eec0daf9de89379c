"""The trial of the doctor: faults planted in real runs, and healthy runs beside them.

    python benchmarks/doctor/trial.py --out TRIAL --half held --fashion FOLDER --cifar10 TRAIN TEST
    python benchmarks/doctor/repairs.py --out TRIAL --half held
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
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import fine_tuning
import torch
from faults import FAULTS, HEALTHY, Change, Fits
from loops import Plan, run
from networks import Build, networks
from worlds import HELD, LARGE, World, kept, worlds

_RATES = {"cnn": 0.01, "functional": 0.02}  # without norms, and with group norm


@dataclass(frozen=True)
class Case:
    """One run of the trial; cause is None for a healthy one."""

    half: str
    network: str
    build: Build
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
            for network, build in networks(half, pretrained=world in LARGE).items():
                for cause, variant, (change, fits) in _variants(world):
                    if seed < (healthy_seeds if cause is None else seeds):
                        yield Case(half, network, build, world, cause, variant, seed, change, fits)


def _variants(world: str) -> Iterator[tuple[str | None, str, tuple[Change, Fits]]]:
    """Every fault and every healthy run in a world: its cause, its name, and the change."""
    faults, healthy = FAULTS, HEALTHY
    if world in LARGE:
        faults, healthy = fine_tuning.FAULTS, fine_tuning.HEALTHY
    for cause, variants in faults.items():
        for number, variant in enumerate(variants):
            yield cause, str(number), variant
    for name, change in healthy.items():
        yield None, name, change


def work(case: Case, world: World, out: Path) -> None:
    """Run one case, unless it is there or does not suit the network."""
    file = out / case.file
    if file.exists() or not case.fits(case.build(world.train_images.shape[1], world.num_classes)):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    plan = Plan(world, case.network, case.seed)
    if case.world in LARGE:
        plan = fine_tuning.start(plan)
    plan = replace(plan, lr=_RATES.get(case.network, plan.lr))
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
    parser.add_argument("--photographs", nargs=2, metavar=("ZIP", "TABLE"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--healthy-seeds", type=int, default=2)
    parser.add_argument("--only", help="cases whose file has this in its name")
    parser.add_argument("--part", nargs=2, type=int, default=(0, 1), metavar=("K", "OF"))
    asked = parser.parse_args()
    made = worlds(asked.fashion, asked.cifar10, asked.photographs)
    chosen = [name for name in made if asked.half == "held" or name not in HELD]
    loaded = {name: kept(asked.out / "worlds" / f"{name}.pt", made[name]) for name in chosen}
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", "This DataLoader will create")  # on a single core
    part, of = asked.part
    for number, case in enumerate(cases(asked.half, chosen, asked.seeds, asked.healthy_seeds)):
        if number % of == part and (asked.only is None or asked.only in case.file):
            work(case, loaded[case.world], asked.out)


if __name__ == "__main__":
    main()
