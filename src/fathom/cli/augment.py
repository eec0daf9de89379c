"""`fathom augment`: what a network is shown in training, and whether it still is what it says."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from fathom.cli.assignments import assignments
from fathom.errors import UserError, require

if TYPE_CHECKING:
    from fathom.keeps import Check, ClassOutcome, Outcome, Trained

_CLASSES = 12  # rows of a table of classes
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]

app = App(
    name="augment",
    help="Draw what a network is shown in training; augment check DATA: does it keep its class?",
    help_format="plaintext",
    sort_key=4,
)


@app.default
def augment(
    data: str,
    /,
    *,
    recipe: str = "default",
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="", show_default=False)] = (),
    images: int = 6,
    draws: int = 7,
    seed: int = 0,
    out: Path | None = None,
    json: Json = False,
) -> None:
    """Draw a contact sheet of training images, each as it is evaluated and as training shows it.

    Parameters
    ----------
    data
        An image, a folder of images, or data as for `fathom train`.
    recipe
        The recipe whose augmentation is drawn, a name from `fathom recipes`.
    set_
        Any field of the recipe by its path, as in --set augment.mix=cutmix. Repeatable.
    images
        Rows of the sheet.
    draws
        Training views of each image.
    seed
        Chooses the images, and what is drawn.
    out
        The picture to write; by default DATA-augment.png.
    json
        Print one JSON object: file, random, rows with the label of every draw, and more.
    """
    _check_out(out)
    changes = assignments("--set", set_)
    from fathom.cli.tables import show_bad_images
    from fathom.preview import draw, preview

    sheet = preview(data, recipe=recipe, changes=changes, images=images, draws=draws, seed=seed)
    file = out or Path(f"{Path(sheet.data).stem}-augment.png")
    try:
        draw(sheet).save(file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}; choose --out") from error
    if json:
        _print_json({"file": str(file), **sheet.to_dict()})
        return
    show_bad_images([(bad.name, bad.reason) for bad in sheet.bad])
    print(f"random: {'; '.join(sheet.random)}")
    print(f"sheet: {file}")


@app.command(name="check")
def check(
    data: str,
    /,
    *,
    augment: str | None = None,
    minutes: float | None = None,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Measure whether images keep their class when augmented, with small networks trained on them.

    Parameters
    ----------
    data
        As for `fathom train`: a folder, archive, CSV manifest or built-in set.
    augment
        Augmentations with commas between them, each with a strength after a colon where it takes
        one, as in shift:3. By default vertical-flip,horizontal-flip,shift. Also resized-crop,
        cutout, erasing, jitter, hue, randaugment, trivialaugment.
    minutes
        Time for everything, on a machine of steady speed; by default as long as it takes, about a
        minute for digits. How long networks are trained, and so the figures, then depend on the
        machine.
    seed
        Everything random follows from it.
    json
        Print one JSON object: a list of outcomes, each with its verdict and a list of classes.
    """
    from fathom.keeps import Check, Outcome
    from fathom.keeps import check as run_check
    from fathom.keeps.networks import DEFAULTS

    names = DEFAULTS if augment is None else tuple(augment.split(","))
    for report in run_check(data, names, minutes=minutes, seed=seed):
        if isinstance(report, Check):
            if json:
                _print_json(report.to_dict())
            else:
                _show_check(report)
        elif isinstance(report, Outcome):
            if not json:
                _show_outcome(report)
        else:
            _show_trained(report)


def _check_out(out: Path | None) -> None:
    """Raise UserError for a file that no sheet can be written to, before one is drawn."""
    if out is None:
        return
    require(out.suffix.lower() == ".png", f"--out is {out}; a sheet is a .png file")
    require(out.parent.is_dir(), f"there is no folder {out.parent} to write {out.name} into")


def _show_trained(report: Trained) -> None:
    print(
        f"network {report.number} of at most {report.most}, {report.what}: {report.steps:,} steps, "
        f"{report.seconds:.0f} s, {report.top1:.1%} of the images as they are",
        file=sys.stderr,
    )


def _show_outcome(outcome: Outcome) -> None:
    from fathom.cli.tables import console, print_columns

    console().print(outcome.sentence, markup=False, style="bold")
    worst = outcome.worst_first
    heads = ("class", "images", "as they are", "augmented", "most taken for", "trained on")
    print_columns(heads, [_row(c) for c in worst[:_CLASSES]], left=("class", "most taken for"))
    if len(worst) > _CLASSES:
        print(f"and {len(worst) - _CLASSES} more, which lose less; --json has all")
    print()


def _row(found: ClassOutcome) -> tuple[str, ...]:
    taken = ""
    if found.taken:
        span = f"{found.taken_low:.0%} to {found.taken_high:.0%}"
        taken = f"{found.taken_for} ({found.taken} of {found.known}, {span})"
    return (
        found.name,
        f"{found.images:,}",
        f"{found.known / found.images:.1%}",
        f"{found.unseen:.1%}",
        taken,
        "" if found.learnt is None else f"{found.learnt:.1%}",
    )


def _show_check(report: Check) -> None:
    from fathom.cli.tables import show_bad_images

    show_bad_images([(bad.name, bad.reason) for bad in report.bad])
    print(
        f"{report.data} at {report.image_size} pixels: {report.num_train:,} images to train on, "
        f"{report.num_held_out:,} held out; {report.networks} networks, {report.steps:,} steps, "
        f"{report.seconds:.0f} s"
    )


def _print_json(value: dict[str, Any]) -> None:
    json_module.dump(value, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")
