"""Run folders with a log of one's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import fathom
from fathom.training.run import Run
from fathom.training.settings import to_dict


def step(number: int, seconds: float, **values: float) -> dict[str, Any]:
    """A record of a step."""
    known = {"loss": 2.0, "top1": 0.1, "lr": 0.1, "images_per_second": 100.0, "seconds_left": 9.0}
    return {"kind": "step", "step": number, "epoch": 0, "seconds": seconds, **known, **values}


def epoch(number: int, end: int, seconds: float, **values: Any) -> dict[str, Any]:
    """A record of an epoch; number counts from 0, end is its last step."""
    known = {
        "train_loss": 1.5,
        "train_top1": 0.4,
        "split": "val",
        "loss": 1.4,
        "top1": 0.5,
        "chosen": False,
        "lr": 0.1,
        "images_per_second": 100.0,
    }
    return {"kind": "epoch", "epoch": number, "step": end, "seconds": seconds, **known, **values}


def make_run(
    folder: Path,
    log: Sequence[Mapping[str, Any]],
    *,
    result: Mapping[str, Any] | None = None,
    **recipe: Any,
) -> Path:
    """A run of digits with this log, and with these settings of its recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    run = Run(folder)
    found = fathom.recipe("default", "digits", epochs=4)
    run.write(
        "recipe", {"command": None, "recipe": to_dict(type(found)(**{**vars(found), **recipe}))}
    )
    run.metrics.write_text("".join(json.dumps(record) + "\n" for record in log))
    if result is not None:
        run.write("result", result)
    return folder
