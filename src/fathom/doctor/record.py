"""doctor.json: what was seen of a run, written while it goes on, so that a kill loses little of it.

A run that is resumed takes up what was seen before, and a post-mortem reads the same numbers. They
are few, however long the run: at most 2,000 points of the curve and 200 looks, as the run itself
keeps no more, and an exam or two an epoch, of which the last ones only have their matrix.

Until the run has ended, the margins of its training images lie beside it, 12 bytes an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from fathom.doctor.nouns import Finding
from fathom.doctor.observed import Observed
from fathom.errors import UserError
from fathom.training.run import Run, write_bytes

FILE = "doctor"
_MARGINS = "margins.safetensors"


def write(run: Run, seen: Observed, findings: list[Finding], *, seconds: float) -> None:
    """Store what was seen so far, what it means, and the seconds that looking took."""
    run.write(
        FILE,
        {
            "observed": seen.to_dict(),
            "findings": [finding.to_dict() for finding in findings],
            "seconds": seconds,
        },
    )


def read(run: Run) -> Observed | None:
    """What was seen of a run; None where no doctor attended it.

    Raises UserError for a damaged file, and for one of another format.
    """
    if not run.has(FILE):
        return None
    try:
        return Observed.from_dict(run.read(FILE).get("observed"))
    except UserError as error:
        path = run.folder / f"{FILE}.json"
        raise UserError(
            f"{path}: {error}; without this file the run is judged by its log"
        ) from error


def write_margins(run: Run, tensors: Mapping[str, Tensor] | None) -> None:
    """Store the `Margins.tensors` of a run that may be resumed; None takes them away."""
    path = _margins(run)
    if tensors is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes(path, save({name: tensor.cpu() for name, tensor in tensors.items()}))


def read_margins(run: Run) -> dict[str, Tensor] | None:
    """The `Margins.tensors` that a run was left with, if any.

    They may be a few steps older or newer than the checkpoint of a run that was killed, so that
    the images of these steps count never or twice in means over all of their visits.
    Raises UserError for a damaged file.
    """
    path = _margins(run)
    try:
        return load(path.read_bytes()) if path.exists() else None
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{path} is damaged ({error}); remove it to go on without the margins that the run had"
        ) from error


def _margins(run: Run) -> Path:
    return run.folder / _MARGINS


def forget_after(seen: Observed, step: int) -> None:
    """Drop what a run that goes on from this step will show again."""
    seen.looks = [look for look in seen.looks if look.step <= step]
    seen.exams = [exam for exam in seen.exams if exam.step <= step]
    curve = seen.curve
    kept = sum(at <= step for at in curve.step)
    for values in (curve.step, curve.loss, curve.top1, curve.lr):
        del values[kept:]
    seen.over, seen.diverged = False, None
