"""How well does `fathom doctor labels` count wrong labels, and how many of its suspects are wrong?

    python benchmarks/doctor_labels.py --data FOLDER --share 0.1 --seeds 3

FOLDER holds train/CLASS/IMAGE. For each seed so many labels, drawn at random, become another class,
and the command judges the table of images and labels that this makes.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory


def flipped(folder: Path, share: float, seed: int, table: Path) -> set[str]:
    """Write a table of images with some labels changed -> the images whose label was."""
    rng = random.Random(seed)
    files = sorted(file for file in folder.glob("*/*") if file.is_file())
    names = sorted({file.parent.name for file in files})
    wrong = {files[place] for place in rng.sample(range(len(files)), round(share * len(files)))}
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label"])
        for image in files:
            others = [name for name in names if name != image.parent.name]
            rows.writerow([image, rng.choice(others) if image in wrong else image.parent.name])
    return {str(image) for image in wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weights", default="lite")
    asked = parser.parse_args()
    for seed in range(asked.seeds):
        with TemporaryDirectory() as name:
            table = Path(name) / "labels.csv"
            wrong = flipped(asked.data.absolute() / "train", asked.share, seed, table)
            began = time.monotonic()
            command = ["labels", str(table), "--weights", asked.weights, "--top", "100", "--json"]
            done = subprocess.run(
                [sys.executable, "-m", "fathom", "doctor", *command],
                check=True,
                capture_output=True,
                text=True,
            )
        found = json.loads(done.stdout)
        right = sum(one["path"] in wrong for one in found["suspects"]["images"])
        print(
            f"seed {seed}: {len(wrong):,} of {found['num_images']:,} labels changed; found "
            f"{found['wrong']:.1%} ({found['low']:.1%} to {found['high']:.1%}); {right} of the 100 "
            f"most suspicious were; {time.monotonic() - began:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
