"""`fathom embed`: features of all images as a table; copies, outliers and odd labels by them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.features.cache import Cache
    from fathom.features.embedding import Embedding, Progress
    from fathom.features.similar import Duplicates, Outlier, Stranger

_FLAG = Parameter(negative="", show_default=False)
_EVERY = 10.0  # seconds between two lines on progress
_SHOWN = 20


@Parameter(name="*", group=Group("Features", sort_key=2))
@dataclass(frozen=True)
class FeatureOptions:
    """Which network looks, and how.

    Parameters
    ----------
    weights
        A pretrained network: lite0, lite1, lite2, NETWORK@torchvision, timm:NAME, NETWORK@FILE, or
        a checkpoint of a run.
    model
        The network, where --weights does not say it: --weights torchvision --model resnet50.
    views
        Looks at each image, averaged: as evaluated, mirrored where that keeps the class, then
        random crops.
    image_size
        Side of the square that the network sees, in pixels; by default that of the weights.
    device
        auto, cpu, cuda, cuda:1, mps.
    no_cache
        Neither use features that were computed before, nor keep these.
    """

    weights: str = "lite"
    model: str | None = None
    views: int = 1
    image_size: int | None = None
    device: str = "auto"
    no_cache: Annotated[bool, _FLAG] = False


@Parameter(name="*", group=Group("Output (at least one of the first three)", sort_key=3))
@dataclass(frozen=True)
class OutputOptions:
    """What is written and listed.

    Parameters
    ----------
    out
        The table to write, .parquet or .npz: path, label, split and features of every image.
    duplicates
        List pairs of images that are copies of each other, or nearly; those in two splits first.
    outliers
        List images unlike the rest of their class, and images like those of another class.
    top
        Rows of each list (20 by default).
    json
        Print one JSON object: num_images, bad_images, duplicates, outliers, strangers and more.
    """

    out: Path | None = None
    duplicates: Annotated[bool, _FLAG] = False
    outliers: Annotated[bool, _FLAG] = False
    top: int | None = None
    json: Annotated[bool, _FLAG] = False


def embed(
    data: Annotated[str | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = AS_FOUND,
    how: FeatureOptions = FeatureOptions(),
    output: OutputOptions = OutputOptions(),
) -> None:
    """Write what a pretrained network makes of every image, and find copies and odd ones by it.

    Pictures without classes, and of one class, work too.
    """
    _check(where, output)
    from fathom.cli.app import show_json
    from fathom.features.backbone import find_backbones
    from fathom.features.cache import Cache
    from fathom.features.table import check_table, write_table

    if output.out is not None:
        check_table(output.out)
    backbones = find_backbones(how.weights, how.model)
    require(
        len(backbones) == 1,
        f"--weights names {len(backbones)} networks; embed takes one at a time",
    )
    began = time.monotonic()
    cache = None if how.no_cache else Cache()
    from fathom.features.embedding import embed as run_embed

    found = _last(
        run_embed(
            where.settings(data),
            backbones[0],
            views=how.views,
            image_size=how.image_size,
            device=how.device,
            cache=cache,
        )
    )
    if output.out is not None:
        write_table(output.out, found)
    lists = _lists(found, output)
    facts = _facts(found, output.out, seconds=time.monotonic() - began)
    if output.json:
        show_json({**facts, **{name: rows for name, rows in lists.items()}})
    else:
        _show(found, facts, lists, cache)


def _check(where: DataOptions, output: OutputOptions) -> None:
    """Raise UserError for options that would do nothing."""
    lists = output.duplicates or output.outliers
    require(
        output.out is not None or lists,
        "nothing to do: name a table with --out FILE.parquet or FILE.npz, or ask for lists with "
        "--duplicates and --outliers",
    )
    require(
        output.top is None or lists,
        "--top has no effect without a list; add --duplicates or --outliers",
    )
    require(output.top is None or output.top >= 1, f"--top is {output.top}; use 1 or more")
    require(
        where.val_fraction is None,
        "--val-fraction has no effect: images are embedded in the splits they come in",
    )
