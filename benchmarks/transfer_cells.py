"""Every strategy of `fathom transfer`, and what `auto` chooses, at equal time on real targets.

    python benchmarks/transfer_cells.py --cifar10 TRAIN.zip TEST.zip --fashion FOLDER --out CELLS
    python benchmarks/transfer_cells.py --out CELLS --table

A cell is a target, a strategy and a seed. The seed draws the training images, too. Every cell is a
process of its own with the same minutes, which hold everything: decoding, features, training,
judging 1,000 test images. Cells that are done already are kept, so that the table grows over
several sittings; --table prints it.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fathom.data.catalog import ImageList, open_catalog
from fathom.data.settings import DataSettings

STRATEGIES = ("probe", "partial", "finetune", "scratch", "auto")
TESTED = 1000


@dataclass(frozen=True)
class Target:
    """A data set with so many training images a class; all of them where that is None."""

    name: str
    data: DataSettings
    per_class: int | None


def drawn(images: ImageList, per_class: int | None, seed: int) -> Iterator[tuple[str, int]]:
    """Key and class of so many images of each class, drawn with the seed."""
    by_class: dict[int, list[str]] = defaultdict(list)
    for key, target in zip(images.keys, images.targets, strict=True):
        by_class[target].append(key)
    for target, keys in sorted(by_class.items()):
        chosen = (
            keys
            if per_class is None
            else random.Random(f"{seed}/{target}").sample(keys, min(per_class, len(keys)))
        )
        for key in chosen:
            yield key, target


def write_images(target: Target, seed: int, folder: Path) -> None:
    """Folders train/CLASS and test/CLASS of PNG files, which keep every pixel."""
    done = folder.parent / f"{folder.name}.done"
    if done.exists():
        return
    catalog = open_catalog(target.data)
    test = "test" if "test" in catalog.splits else None
    rows = {}
    if test is not None:
        rows["train"] = list(drawn(catalog.splits["train"], target.per_class, seed))
        each = TESTED // len(catalog.class_names)
        rows["test"] = list(drawn(catalog.splits["test"], each, 0))
        lists = {"train": catalog.splits["train"], "test": catalog.splits["test"]}
    else:  # digits: three in ten are the test
        whole = catalog.splits["all"]
        held = set(drawn(whole, round(0.3 * len(whole) / len(catalog.class_names)), 0))
        rows["test"] = sorted(held)
        rows["train"] = [r for r in drawn(whole, None, seed) if r not in held]
        lists = {"train": whole, "test": whole}
    for role, chosen in rows.items():
        for number, (key, cls) in enumerate(chosen):
            place = folder / role / f"{cls:03d}-{catalog.class_names[cls]}".replace("/", "_")
            place.mkdir(parents=True, exist_ok=True)
            pixels = lists[role].source.pixels(key, 3)
            Image.fromarray(pixels).save(place / f"{number:06d}.png")
    done.touch()


def run_cell(data: Path, strategy: str, seed: int, minutes: float, out: Path) -> None:
    """One cell: the run, and result.json beside it, which `--table` reads."""
    command = [
        sys.executable, "-m", "fathom", "transfer", str(data), "--strategy", strategy,
        "--minutes", str(minutes), "--seed", str(seed), "--out", str(out / "run"), "--json",
    ]  # fmt: skip
    if strategy != "scratch":
        command.append("--no-cache")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    (out / "log.txt").write_text(done.stderr)
    if done.returncode:
        print(f"{out}: exit code {done.returncode}: {done.stderr[-300:]}", flush=True)
        return
    found = json.loads(done.stdout.splitlines()[-1])
    if strategy == "auto":
        decision = json.loads((out / "run" / "transfer" / "decision.json").read_text())
        found["chosen"] = decision["chosen"]["strategy"]
    (out / "cell.json").write_text(json.dumps(found))


def table(root: Path) -> None:
    """Means and standard deviations over the seeds, and how far auto is from the best strategy."""
    cells: dict[str, dict[str, dict[int, dict[str, object]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for file in sorted(root.glob("*/*/*/cell.json")):
        target, strategy, seed = file.parts[-4:-1]
        cells[target][strategy][int(seed)] = json.loads(file.read_text())
    print("| target | " + " | ".join(STRATEGIES) + " | auto chose | auto to best |")
    print("| --- " * (len(STRATEGIES) + 3) + "|")
    for target, strategies in cells.items():
        row = []
        for strategy in STRATEGIES:
            values = [float(str(c["top1"])) * 100 for c in strategies[strategy].values()]
            spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
            row.append(f"{statistics.mean(values):.2f}{spread}" if values else "-")
        chose, behind = [], []
        for number, cell in strategies["auto"].items():
            others = [
                s[number]["top1"] for n, s in strategies.items() if n != "auto" and number in s
            ]
            chose.append(str(cell["chosen"]))
            if others:
                best = max(float(str(v)) for v in others)
                behind.append(100 * (float(str(cell["top1"])) - best))
        gap = ", ".join(f"{value:+.1f}" for value in behind)
        print(f"| {target} | {' | '.join(row)} | {', '.join(chose)} | {gap} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar10", nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--fashion", metavar="FOLDER", help="where torchvision's FashionMNIST lies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--targets", nargs="*", help="names, as cifar10-100; all by default")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    asked = parser.parse_args()
    targets = [Target("digits", DataSettings(source="digits"), None)]
    if asked.cifar10:
        data = DataSettings(train=asked.cifar10[0], test=asked.cifar10[1])
        targets += [Target(f"cifar10-{n}", data, n) for n in (10, 100, 1000)]
    if asked.fashion:
        data = DataSettings(source="fashion-mnist", data_dir=asked.fashion)
        targets += [Target(f"fashion-{n}", data, n) for n in (100,)]
    for seed in range(asked.seeds):
        for target in targets:
            if asked.table or (asked.targets and target.name not in asked.targets):
                continue
            data_folder = asked.out / "data" / target.name / str(seed)
            write_images(target, seed, data_folder)
            for strategy in asked.strategies:
                out = asked.out / target.name / strategy / str(seed)
                if (out / "cell.json").exists():
                    continue
                out.mkdir(parents=True, exist_ok=True)
                run_cell(data_folder, strategy, seed, asked.minutes, out)
                print(f"{target.name} {strategy} {seed}: done", flush=True)
    table(asked.out)


if __name__ == "__main__":
    main()
