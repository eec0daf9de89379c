"""Every strategy of `fathom transfer`, and what `auto` chooses, at equal time on real targets.

    python benchmarks/transfer_cells.py --cifar10 TRAIN.zip TEST.zip --fashion FOLDER --out CELLS
    python benchmarks/transfer_cells.py --cifar10 ... --fashion ... --out CELLS --judge 5000
    python benchmarks/transfer_cells.py --out CELLS --table

A cell is a target, a strategy and a seed. The seed draws the training images, too. Every cell is a
process of its own with the same minutes, which hold everything: decoding, features, training,
judging 1,000 test images. Cells that are done already are kept, so that the table grows over
several sittings; --table prints it. 1,000 images tell two networks apart by no less than two points
or so, therefore --judge has the finished runs judged again, by more test images and outside the
minutes, and the table takes that where it is there.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from fathom.classifier import load
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
    shutil.rmtree(out / "run", ignore_errors=True)  # of a cell that was cut off
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


def judge(target: Target, strategies: Sequence[str], images: int, root: Path) -> None:
    """Judge the runs of a target by so many of its test images; judged.json beside cell.json."""
    catalog = open_catalog(target.data)
    if "test" not in catalog.splits:
        return  # all of its images are in the cells already
    folder = root / "data" / target.name / f"judges-{images}"
    written = folder.with_suffix(".done")
    if not written.exists():
        each = images // len(catalog.class_names)
        source = catalog.splits["test"].source
        for number, (key, cls) in enumerate(drawn(catalog.splits["test"], each, 1)):
            place = folder / f"{cls:03d}-{catalog.class_names[cls]}".replace("/", "_")
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(source.pixels(key, 3)).save(place / f"{number:06d}.png")
        written.touch()
    for file in sorted((root / target.name).glob("*/*/cell.json")):
        beside = file.with_name("judged.json")
        if not beside.exists() and file.parts[-3] in strategies:
            found, _ = load(file.parent / "run").evaluate(str(folder))
            beside.write_text(json.dumps({"top1": found.top1, "num_images": found.num_images}))
            print(f"{file.parent}: {found.top1:.2%} of {found.num_images}", flush=True)


def table(root: Path) -> None:
    """Means and standard deviations over the seeds, and how far auto is from the best strategy."""
    cells: dict[str, dict[str, dict[int, dict[str, object]]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for file in sorted(root.glob("*/*/*/cell.json")):
        target, strategy, seed = file.parts[-4:-1]
        cells[target][strategy][int(seed)] = json.loads(file.read_text())
        more = file.with_name("judged.json")
        if more.exists():
            cells[target][strategy][int(seed)] |= json.loads(more.read_text())
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
            others = [  # by the same test images
                s[number]["top1"]
                for n, s in strategies.items()
                if n != "auto" and s.get(number, {}).get("num_images") == cell["num_images"]
            ]
            chose.append(str(cell["chosen"]))
            if others:
                best = max(float(str(v)) for v in others)
                behind.append(100 * (float(str(cell["top1"])) - best))
        gap = ", ".join(f"{value:+.1f}" for value in behind)
        print(f"| {target} | {' | '.join(row)} | {', '.join(chose)} | {gap} |")


def chosen_targets(asked: argparse.Namespace) -> list[Target]:
    """Small ones, or with --full all images of CIFAR-10 and Fashion-MNIST."""
    sizes = {"cifar10": (10, 100, 1000), "fashion": (100,)}
    data = {}
    if asked.cifar10:
        data["cifar10"] = DataSettings(train=asked.cifar10[0], test=asked.cifar10[1])
    if asked.fashion:
        data["fashion"] = DataSettings(source="fashion-mnist", data_dir=asked.fashion)
    if asked.full:
        found = [Target(f"{name}-full", settings, None) for name, settings in data.items()]
    else:
        found = [Target("digits", DataSettings(source="digits"), None)]
        for name, settings in data.items():
            found += [Target(f"{name}-{n}", settings, n) for n in sizes[name]]
    return [one for one in found if not asked.targets or one.name in asked.targets]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar10", nargs=2, metavar=("TRAIN", "TEST"))
    parser.add_argument("--fashion", metavar="FOLDER", help="where torchvision's FashionMNIST lies")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES)
    parser.add_argument("--targets", nargs="*", help="names, as cifar10-100; all by default")
    parser.add_argument("--full", action="store_true", help="all training images of a target")
    parser.add_argument("--judge", type=int, metavar="IMAGES", help="judge finished runs by more")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    asked = parser.parse_args()
    targets = chosen_targets(asked)
    for seed in range(asked.seeds):
        for target in targets:
            if asked.table or asked.judge:
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
    for target in targets if asked.judge else []:
        judge(target, asked.strategies, asked.judge, asked.out)
    table(asked.out)


if __name__ == "__main__":
    main()
