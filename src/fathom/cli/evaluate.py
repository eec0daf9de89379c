"""`fathom evaluate`: a run's weights on images, by the run's own view or by several averaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from fathom.errors import UserError, require

if TYPE_CHECKING:
    from fathom.tta.measure import ViewsEvaluation

Views = Literal["center", "flip", "five", "ten", "multiscale", "ten-multiscale"]


@Parameter(name="*", group=Group("Test-time views"))
@dataclass(frozen=True)
class ViewOptions:
    """Several views of every image, averaged.

    Parameters
    ----------
    views
        center (the run's own view), flip (and its mirror image), five and ten (centre and corners,
        and their mirror images), multiscale (the centre at every scale), ten-multiscale (ten at
        every scale).
    scales
        Short sides in pixels, as in 224,256,384; the first view is at the first. By default the
        run's resize; for the multiscale views those of He et al. 2015, 224 256 384 480 640, in
        proportion to the run's image size, the nearest to its resize first.
    crop_size
        Side of the crops in pixels; by default the run's image size.
    average
        What is averaged over views, probabilities (the default) or logits.
    dense
        Show the network whole pictures instead of crops, as VGG and ResNet were evaluated; with
        center, flip and multiscale.
    """

    views: Views | None = None
    scales: str | None = None
    crop_size: int | None = None
    average: Literal["probabilities", "logits"] | None = None
    dense: Annotated[bool, Parameter(negative="", show_default=False)] = False


def evaluate(
    run: Path,
    data: str | None = None,
    /,
    *,
    how: ViewOptions = ViewOptions(),
    json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Measure a run's weights on its own held-out images, or on other data.

    With --views, several views of every image are averaged, and every prefix of them is measured:
    accuracy, its gain over the first view with a 95 % interval, forward FLOPs and time.

    Parameters
    ----------
    run
        The folder that `fathom train` printed.
    data
        A folder, archive, CSV manifest or built-in name; its classes must be the run's.
    json
        Print one JSON object: top1, loss, ece, num_images, per_class and more; with --views rows.
    """
    from fathom.classifier import load
    from fathom.cli.app import show_json
    from fathom.cli.tables import show_bad_images, show_evaluation
    from fathom.cli.views import show_views
    from fathom.evaluate import Evaluation

    options: dict[str, Any] = {
        "scales": None if how.scales is None else _pixels(how.scales),
        "crop_size": how.crop_size,
        "average": how.average,
        "dense": how.dense,
    }
    found: Evaluation | ViewsEvaluation
    if how.views is None:
        _refuse_without_effect(options)
        found, bad = load(run).evaluate(data)
    else:
        found, bad = load(run).evaluate_views(how.views, data, **options)
    if json:
        left_out = [{"name": b.name, "reason": b.reason} for b in bad]
        show_json({**found.to_dict(), "run": str(run), "bad_images": left_out})
        return
    show_bad_images([(b.name, b.reason) for b in bad])
    if isinstance(found, Evaluation):
        show_evaluation(found)
    else:
        show_views(found)


def _refuse_without_effect(options: Mapping[str, Any]) -> None:
    """Raise UserError for an option that only --views gives a meaning."""
    given = [name for name, value in options.items() if value is not None and value is not False]
    words = " and ".join(f"--{name.replace('_', '-')}" for name in given)
    require(not given, f"{words} without --views has no effect; choose --views with it")


def _pixels(scales: str) -> tuple[int, ...]:
    """ "224,256" -> (224, 256)."""
    try:
        return tuple(int(part) for part in scales.split(","))
    except ValueError as error:
        raise UserError(
            f"--scales {scales!r} is no list of pixels; write --scales 224,256,384"
        ) from error
