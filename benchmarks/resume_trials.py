"""Kill a training run at random moments, resume it, and compare the final weights' SHA-256.

    python benchmarks/resume_trials.py --trials 20 --out trials

Every trial starts `fathom train`, sends it SIGKILL (kill -9) at a random step plus a random moment,
resumes it, kills that with probability one half, and so on until a session reaches the end. The
data are images decoded on the fly by two workers, with random resized crops and flips; averaging is
on; checkpoints are written after every step, so that the kill also meets half-written ones. The run
that is never killed comes first; all hashes must equal its own.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

EPOCHS = 4


def make_images(folder: Path) -> None:
    """Three classes of 64 noisy JPEGs, 96 x 80 pixels, from a fixed seed."""
    rng = np.random.default_rng(0)
    for label in range(3):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(64):
            pixels = rng.normal(80 + 40 * label, 60, (80, 96, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"class{label}" / f"{number}.jpg")


def command(*arguments: str) -> list[str]:
    """The command line of this environment."""
    return [sys.executable, "-m", "fathom", "train", *arguments, "--quiet", "--save-every", "0"]


def start(data: Path, out: Path) -> list[str]:
    """The command that starts the run."""
    settings = ["augment.crop=resized", "data.cache=off", "data.workers=2", "ema=0.95"]
    sets = [word for setting in settings for word in ("--set", setting)]
    options = ["--model", "cifar_resnet20", "--image-size", "32", "--batch-size", "16"]
    return command(str(data), *options, "--epochs", str(EPOCHS), "--out", str(out), *sets)


def step_of(out: Path) -> int:
    """The step of a run's last checkpoint, 0 where there is none."""
    try:
        return int(json.loads((out / "checkpoints" / "last.json").read_text())["state"]["step"])
    except FileNotFoundError:
        return 0


def run_until(arguments: list[str], out: Path, step: int, delay: float) -> None:
    """Run a command; kill it so many seconds after its checkpoint has reached the step."""
    with subprocess.Popen(arguments) as process:
        while process.poll() is None:
            if step_of(out) >= step:
                time.sleep(delay)
                process.send_signal(signal.SIGKILL)
                process.wait()
                return
            time.sleep(0.002)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {process.returncode}")


def trial(data: Path, out: Path, total: int, rng: random.Random) -> tuple[str, list[int]]:
    """One run with its kills: the final hash, and the step of the checkpoint after each kill."""
    steps: list[int] = []
    arguments = start(data, out)
    target = rng.randint(1, total - 1)
    while True:
        run_until(arguments, out, target, rng.uniform(0, 0.2))
        if (out / "result.json").exists():
            return hash_of(out), steps
        steps.append(step_of(out))
        arguments = command("--resume", str(out))
        # One resumed session in two is killed as well, somewhere in what is left.
        left = range(steps[-1] + 1, total)
        target = rng.choice(left) if left and rng.random() < 0.5 else total + 1


def hash_of(out: Path) -> str:
    """The SHA-256 of the weights that a finished run stored."""
    return str(json.loads((out / "result.json").read_text())["weights_sha256"])


def main() -> None:
    """Run the trials and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    data = options.out / "data"
    make_images(data)
    run_until(start(data, options.out / "whole"), options.out / "whole", sys.maxsize, 0)
    wanted = hash_of(options.out / "whole")
    total = step_of(options.out / "whole")
    print(f"never killed: {wanted}, {total} steps", flush=True)
    equal = kills = 0
    for number in range(options.trials):
        rng = random.Random(number)
        found, steps = trial(data, options.out / f"trial{number}", total, rng)
        equal += found == wanted
        kills += len(steps)
        verdict = "equal" if found == wanted else f"DIFFERENT {found}"
        print(f"trial {number}: {verdict}, resumed from steps {steps}", flush=True)
    print(f"{equal} of {options.trials} hashes equal, {kills} kills")
    raise SystemExit(equal != options.trials)


if __name__ == "__main__":
    main()
