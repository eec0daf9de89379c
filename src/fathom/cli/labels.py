"""`fathom doctor labels`: how many labels are wrong, and which images to look at first."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fathom.cli.embed import BY_DEFAULT, FeatureOptions, embedded, image_of, say_rest
from fathom.cli.where import AS_FOUND, DATA_HELP, DataOptions
from fathom.errors import require

if TYPE_CHECKING:
    from fathom.doctor.labels import Noise
    from fathom.features.embedding import Embedding

_SHOWN = 20


def labels(
    data: Annotated[str | None, Parameter(help=DATA_HELP)] = None,
    /,
    *,
    where: DataOptions = AS_FOUND,
    how: FeatureOptions = BY_DEFAULT,
    top: int = _SHOWN,
    json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Estimate how many labels are wrong, and list the images whose label is least like them.

    A classifier of pretrained features judges images that it was not fitted to.

    Parameters
    ----------
    top
        Rows of the list.
    json
        Print one JSON object: num_images, wrong, low, high, agree, suspects and more.
    """
    require(top >= 1, f"--top is {top}; use 1 or more")
    require(
        where.val_fraction is None,
        "--val-fraction has no effect: labels of all splits are judged together",
    )
    from fathom.cli.app import show_json
    from fathom.doctor.labels import judge_labels

    began = time.monotonic()
    found, cache = embedded(data, where, how)
    classes = len(found.class_names)
    told = "1 class" if classes else "no classes"
    require(classes >= 2, f"{found.data} has {told}; labels need two or more")
    counts = found.targets.bincount(minlength=classes).tolist()
    few = [name for name, count in zip(found.class_names, counts, strict=True) if count < 2]
    require(
        not few,
        f"{', '.join(few[:5])}{' and more' if len(few) > 5 else ''}: one usable image or none, and "
        "none else of the class to judge it; give every class two or more, or leave it out",
    )
    noise = judge_labels(found.values, found.targets, num_classes=classes)
    facts = _facts(found, noise, top, seconds=time.monotonic() - began)
    if json:
        show_json(facts)
    else:
        _show(found, facts)
        if cache is not None:
            print(f"features are kept in {cache.folder}")


def _facts(found: Embedding, noise: Noise, top: int, *, seconds: float) -> dict[str, Any]:
    """Everything that is said, as plain JSON values."""
    count = len(found.targets)
    return {
        "data": found.data,
        "model": found.backbone.name,
        "weights": found.backbone.weights,
        "image_size": found.preprocess.image_size,
        "num_images": count,
        "bad_images": [{"name": b.name, "reason": b.reason} for b in found.bad],
        "seconds": seconds,
        "agree": 1 - len(noise.order) / count,
        "wrong": noise.share,
        "low": noise.low,
        "high": noise.high,
        "suspects": {
            "count": len(noise.order),
            "images": [
                {**image_of(found, row), "seems": found.class_names[int(noise.likely[row])]}
                for row in noise.order[:top].tolist()
            ],
        },
    }


def _show(found: Embedding, facts: dict[str, Any]) -> None:
    from fathom.cli.progress import clock
    from fathom.cli.tables import console, print_columns, show_bad_images

    show_bad_images([(b.name, b.reason) for b in found.bad])
    out = console()
    out.print(
        f"{found.backbone.label} at {facts['image_size']} pixels: a classifier of its features "
        f"gives {facts['agree']:.1%} of {facts['num_images']:,} images, which it was not fitted "
        f"to, their label ({clock(facts['seconds'])})",
        markup=False,
    )
    out.print(
        f"about {facts['wrong']:.1%} of the labels are wrong (95 % interval {facts['low']:.1%} to "
        f"{facts['high']:.1%}), judged where it is surest",
        style="bold",
        markup=False,
    )
    if facts["wrong"] > 1 / 2:
        out.print(
            "so many mean that labels and images have been mixed up, or that this network says "
            "nothing of such images; other --weights may"
        )
    shown = facts["suspects"]["images"]
    if shown:
        out.print("to look at first:")
        rows = [(one["path"], one["split"], one["label"], one["seems"]) for one in shown]
        heads = ("image", "split", "label", "seems to be")
        print_columns(heads, rows, left=heads)
        say_rest(facts["suspects"]["count"] - len(shown))
