"""`fathom embed`: features of all images as a table; copies, outliers and odd labels by them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.features.cache import Cache
    from fathom.features.embedding import Embedding, Progress

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


BY_DEFAULT = FeatureOptions()


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
    how: FeatureOptions = BY_DEFAULT,
    output: OutputOptions = OutputOptions(),
) -> None:
    """Write what a pretrained network makes of every image, and find copies and odd ones by it.

    Pictures without classes, and of one class, work too.
    """
    _check(where, output)
    from fathom.cli.app import show_json
    from fathom.features.table import check_table, write_table

    if output.out is not None:
        check_table(output.out)
    began = time.monotonic()
    found, cache = embedded(data, where, how)
    if output.out is not None:
        write_table(output.out, found)
    facts = _facts(found, output, seconds=time.monotonic() - began)
    if output.json:
        show_json(facts)
    else:
        _show(found, facts, cache)


def embedded(
    data: str | None, where: DataOptions, how: FeatureOptions
) -> tuple[Embedding, Cache | None]:
    """The features of all images, and where they are kept."""
    from fathom.features.backbone import find_backbones
    from fathom.features.cache import Cache
    from fathom.features.embedding import embed

    backbones = find_backbones(how.weights, how.model)
    require(
        len(backbones) == 1,
        f"--weights names {len(backbones)} networks; one at a time looks at the images",
    )
    cache = None if how.no_cache else Cache()
    stream = embed(
        where.settings(data),
        backbones[0],
        views=how.views,
        image_size=how.image_size,
        device=how.device,
        cache=cache,
    )
    return _last(stream), cache


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


def _last(stream: Iterator[Progress | Embedding]) -> Embedding:
    """The end of a stream; now and then a line on how far it is, on standard error."""
    from fathom.cli.progress import clock
    from fathom.features.embedding import Embedding

    said = time.monotonic()
    for record in stream:
        if isinstance(record, Embedding):
            return record
        if time.monotonic() - said >= _EVERY:
            said = time.monotonic()
            left = "" if record.seconds_left is None else f", {clock(record.seconds_left)} left"
            text = f"{record.done:,} of {record.total:,} images{left}"
            print(text, file=sys.stderr, flush=True)
    raise AssertionError("the last record is the embedding")


def _facts(found: Embedding, output: OutputOptions, *, seconds: float) -> dict[str, Any]:
    """Everything that is said, as plain JSON values."""
    from fathom.features.similar import outliers, strangers

    top = output.top or _SHOWN
    facts: dict[str, Any] = {
        "data": found.data,
        "model": found.backbone.name,
        "weights": found.backbone.weights,
        "image_size": found.preprocess.image_size,
        "views": found.views,
        "num_images": len(found.values),
        "num_features": found.values.shape[1],
        "bad_images": [{"name": b.name, "reason": b.reason} for b in found.bad],
        "seconds": seconds,
        "out": None if output.out is None else str(output.out),
    }
    if output.duplicates:
        facts["duplicates"] = _pairs(found, top)
    if output.outliers:
        odd = outliers(found.values, found.targets)
        facts["outliers"] = {
            "count": len(odd),
            "images": [{**image_of(found, o.row), "score": o.score} for o in odd[:top]],
        }
        strange = strangers(found.values, found.targets)
        facts["strangers"] = {
            "count": len(strange),
            "images": [
                {**image_of(found, s.row), "like": found.class_names[s.target], "share": s.share}
                for s in strange[:top]
            ],
        }
    return facts


def _pairs(found: Embedding, top: int) -> dict[str, Any]:
    """Pairs of copies, those in two splits first: they spoil what is measured."""
    import torch

    from fathom.features.similar import COPY, near_duplicates

    numbers = {split: number for number, split in enumerate(dict.fromkeys(found.splits))}
    copies = near_duplicates(
        found.values,
        parts=torch.tensor([numbers[split] for split in found.splits]),
        checksum=found.checksum,
        most=top,
    )
    return {
        "least": COPY,
        "count": copies.count,
        "exact": copies.exact,
        "across_splits": copies.across,
        "pairs": [
            {
                "images": [image_of(found, pair.first), image_of(found, pair.second)],
                "cosine": pair.cosine,
                "exact": pair.exact,
            }
            for pair in copies.pairs
        ],
    }


def image_of(found: Embedding, row: int) -> dict[str, Any]:
    """Path, split and label of a row."""
    return {"path": found.paths[row], "split": found.splits[row], "label": found.label(row)}


def _show(found: Embedding, facts: dict[str, Any], cache: Cache | None) -> None:
    from fathom.cli.progress import clock
    from fathom.cli.tables import console, show_bad_images

    show_bad_images([(b.name, b.reason) for b in found.bad])
    out = console()
    out.print(
        f"{found.backbone.label} at {found.preprocess.image_size} pixels: "
        f"{facts['num_features']:,} features of {facts['num_images']:,} images in "
        f"{clock(facts['seconds'])}",
        markup=False,
    )
    if "duplicates" in facts:
        _show_pairs(facts["duplicates"], several=len(set(found.splits)) > 1)
    if "outliers" in facts:
        _show_images("unlike the rest of their class", facts["outliers"], "score")
        _show_images("like another class: is the label right?", facts["strangers"], "like")
    if cache is not None:
        kept, most = cache.size / 2**20, cache.limit / 2**20
        out.print(f"cache: {cache.folder} ({kept:,.1f} of at most {most:,.0f} MiB)", markup=False)
    if facts["out"] is not None:
        out.print(f"features: {facts['out']}", markup=False)


def _show_pairs(copies: dict[str, Any], *, several: bool) -> None:
    from fathom.cli.tables import console, print_columns

    out = console()
    across, shown = copies["across_splits"], copies["pairs"]
    if across:
        out.print(
            f"leakage: {_count(across, 'pair')} of copies or near copies lie in two splits; what "
            "is learnt from one image is judged by the other. Keep one of each",
            style="bold",
        )
    elif several:
        out.print("no copies lie in two splits")
    out.print(
        f"{_count(copies['count'], 'pair')} of copies or near copies (cosine {copies['least']:g} "
        f"or more), {copies['exact']:,} exact"
    )
    rows = [
        (
            "exact" if pair["exact"] else f"{pair['cosine']:.3f}",
            *(f"{one['split']}: {one['path']}" for one in pair["images"]),
        )
        for pair in shown
    ]
    if rows:
        print_columns(("cosine", "image", "and"), rows, left=("image", "and"))
        say_rest(copies["count"] - len(shown))


def _show_images(what: str, odd: dict[str, Any], last: str) -> None:
    """A table of images: path, split, label, and the score or the class that they are like."""
    from fathom.cli.tables import console, print_columns

    console().print(f"{_count(odd['count'], 'image')} {what}", markup=False)
    rows = [
        (
            one["path"],
            one["split"],
            one["label"] or "",
            f"{one['score']:.1f}" if last == "score" else f"{one['like']} ({one['share']:.0%})",
        )
        for one in odd["images"]
    ]
    if rows:
        print_columns(
            ("image", "split", "label", last), rows, left=("image", "split", "label", last)
        )
        say_rest(odd["count"] - len(rows))


def say_rest(more: int) -> None:
    """How many rows of a list are not shown."""
    if more > 0:
        print(f"and {more:,} more; --top shows more of them")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
