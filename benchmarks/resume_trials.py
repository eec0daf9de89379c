"""Kill a training run at random moments, resume it, and compare the final weights' SHA-256.

    python benchmarks/resume_trials.py --trials 20 --out trials

Every trial starts `fathom train`, sends it SIGKILL (kill -9) after a random time, resumes it, kills
it again with probability one half, and so on until a session reaches the end. The data are images
decoded on the fly by two workers, with random resized crops and flips; averaging is on; checkpoints
are written after every step, so that the kill also meets half-written ones. The run that is never
killed comes first; all hashes must equal its own.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
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


def killed(arguments: list[str], seconds: float) -> bool:
    """Run a command and kill it after so many seconds; False when it ended before that."""
    with subprocess.Popen(arguments) as process:
        try:
            code = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
    if code:
        raise SystemExit(f"{' '.join(arguments)} ended with {code}")
    return False


def trial(data: Path, out: Path, whole: float, rng: random.Random) -> tuple[str, list[int]]:
    """One run with its kills: the final hash, and the step of the checkpoint after each kill."""
    steps: list[int] = []
    arguments = start(data, out)
    while True:
        lethal = not steps or rng.random() < 0.5
        if not killed(arguments, rng.uniform(0.2, 1.0) * whole if lethal else 3600):
            return hash_of(out), steps
        if (out / "result.json").exists():
            return hash_of(out), steps  # killed between the result and the report
        pointer = out / "checkpoints" / "last.json"
        if pointer.exists():
            steps.append(json.loads(pointer.read_text())["state"]["step"])
            arguments = command("--resume", str(out))
        else:
            shutil.rmtree(out, ignore_errors=True)  # killed before the first checkpoint


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
    began = time.monotonic()
    killed(start(data, options.out / "whole"), 3600)
    whole = time.monotonic() - began
    wanted = hash_of(options.out / "whole")
    print(f"never killed: {wanted} in {whole:.1f} s", flush=True)
    equal = kills = 0
    for number in range(options.trials):
        rng = random.Random(number)
        found, steps = trial(data, options.out / f"trial{number}", whole, rng)
        equal += found == wanted
        kills += len(steps)
        verdict = "equal" if found == wanted else f"DIFFERENT {found}"
        print(f"trial {number}: {verdict}, resumed from steps {steps}", flush=True)
    print(f"{equal} of {options.trials} hashes equal, {kills} kills")
    raise SystemExit(equal != options.trials)


if __name__ == "__main__":
    main()
