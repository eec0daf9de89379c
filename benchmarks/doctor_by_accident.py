"""Ten mistakes that nobody made up for a check: what does the doctor say of them?

Each is a change of docs/doctor/loop.py such as happens while one types. The results, also where the
doctor is wrong, are in docs/results/doctor.md:

    python benchmarks/doctor_by_accident.py
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LOOP = Path(__file__).parents[1] / "docs" / "doctor" / "loop.py"

_OPTIMIZER = "torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)"

# Name -> the lines as they are, and as they were typed.
ACCIDENTS = {
    "a ReLU behind the last layer": ("nn.Linear(128, 10)),", "nn.Linear(128, 10), nn.ReLU()),"),
    "optimizer.step() before loss.backward()": (
        "        loss.backward()\n        optimizer.step()\n",
        "        optimizer.step()\n        loss.backward()\n",
    ),
    "the loss of log-probabilities, given logits": ("nn.CrossEntropyLoss()", "nn.NLLLoss()"),
    "SGD as it comes, with a rate of 0.001 and no momentum": (
        _OPTIMIZER,
        "torch.optim.SGD(model.parameters())",
    ),
    "a batch of 1,024, as on another machine": ("batch_size=32", "batch_size=1024"),
    # The five above led to checks and a rule; these came after them.
    "gradients clipped to a norm of 0.001": (
        "        loss.backward()\n",
        "        loss.backward()\n        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)\n",
    ),
    "validation images lying on their side": (
        "TensorDataset(images[1400:], ",
        "TensorDataset(images[1400:].transpose(2, 3), ",
    ),
    "validation images normalised twice": (
        "TensorDataset(images[1400:], ",
        "TensorDataset((images[1400:] - 0.305) / 0.376, ",
    ),
    "the sum of the losses instead of their mean": (
        "nn.CrossEntropyLoss()",
        'nn.CrossEntropyLoss(reduction="sum")',
    ),
    "batch norms with a momentum of 0.001": (
        "nn.BatchNorm2d(outputs)",
        "nn.BatchNorm2d(outputs, momentum=0.001)",
    ),
}


def main() -> None:
    """Run each, and print how it ended and what was said."""
    program = LOOP.read_text(encoding="utf-8")
    for name, (right, typed) in ACCIDENTS.items():
        assert program.count(right) == 1, f"{right!r} is not in {LOOP} once"
        done = subprocess.run(
            [sys.executable, "-c", program.replace(right, typed)],
            capture_output=True,
            text=True,
            check=False,
        )
        epochs, _, said = done.stdout.rpartition("\nepoch ")
        print(f"--- {name}\nepoch {said or epochs}{done.stderr}", flush=True)


if __name__ == "__main__":
    main()
