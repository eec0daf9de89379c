"""The commands and their help. PyTorch is imported by a command when it runs, not before."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from fathom.cli.ablate import ablate
from fathom.cli.augment import app as augment_app
from fathom.cli.claims import claims
from fathom.cli.cost import app as cost_app
from fathom.cli.doctor import app as doctor_app
from fathom.cli.embed import embed
from fathom.cli.evaluate import evaluate
from fathom.cli.experiment import experiment
from fathom.cli.explore import explore
from fathom.cli.look import look
from fathom.cli.models import models
from fathom.cli.recipes import app as recipes_app
from fathom.cli.train import train
from fathom.cli.transfer import transfer
from fathom.version import __version__

_HELP = """Train deep convolutional networks on your images and see why they train.

Start here:

    fathom train                        1,797 handwritten digits, half a minute
    fathom train photos/                your pictures: photos/cats/1.jpg, ...
    fathom train photos/ --minutes 20   the best that twenty minutes allow
    fathom predict runs/photos-resnet18 new.jpg

Every training run writes a folder with its weights, its log and report.html.
"""

Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


def _version() -> str:
    return f"fathom {__version__}"


app = App(
    name="fathom",
    help=_HELP,
    help_format="plaintext",
    version=_version,
    version_flags=["--version"],
)
app.command(train, sort_key=0)
app.command(transfer, sort_key=1)
app.command(ablate, sort_key=7)
app.command(evaluate, sort_key=1)
app.command(augment_app)
app.command(cost_app)
app.command(doctor_app)
app.command(models, sort_key=3)
app.command(recipes_app)
app.command(claims, sort_key=6)
app.command(experiment, sort_key=6)
app.command(explore, sort_key=6)
app.command(look, sort_key=6)
app.command(embed, sort_key=8)


def show_json(value: dict[str, Any]) -> None:
    """Print the one object of a command; a number that is not finite, which JSON lacks, is null."""
    json.dump(_finite(value), sys.stdout, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@app.command(sort_key=2)
def predict(
    run: Path,
    /,
    *paths: Path,
    top: int = 5,
    json: Json = False,
    csv: Annotated[bool, Parameter(negative="", show_default=False)] = False,
) -> int:
    """Name the likeliest classes of images, with probabilities.

    Parameters
    ----------
    run
        The folder that `fathom train` printed.
    paths
        Image files, or folders of them.
    top
        How many classes to name for each image.
    json
        Print one JSON object with a list of predictions.
    csv
        Print a table of path, rank, class and probability, separated by commas.
    """
    from fathom.classifier import load
    from fathom.cli.tables import show_predictions, show_predictions_csv
    from fathom.errors import UserError, require

    require(bool(paths), "no images: name files or folders after the run")
    require(not (json and csv), "--json and --csv exclude each other; choose one")
    require(top >= 1, f"--top is {top}; it must be at least 1")
    predictions = load(run).predict(paths, top=top)
    if json:
        rows = [
            {
                "path": p.name,
                "top": [{"class": name, "probability": chance} for name, chance in p.top],
                "error": p.error,
            }
            for p in predictions
        ]
        show_json({"run": str(run), "predictions": rows})
    elif csv:
        show_predictions_csv(predictions)
    else:
        show_predictions(predictions)
    unread = [p for p in predictions if p.error]
    if len(unread) == len(predictions):
        raise UserError(f"none of {len(unread)} files could be read; {unread[0].error}")
    return 0


@app.command(sort_key=5)
def report(run: Path, /, *, json: Json = False) -> None:
    """Write a run's report.html anew from its folder.

    Parameters
    ----------
    run
        The folder that `fathom train` printed.
    json
        Print one JSON object: report.
    """
    from fathom.report import write_report

    path = write_report(run)
    if json:
        show_json({"report": str(path)})
    else:
        print(path)
