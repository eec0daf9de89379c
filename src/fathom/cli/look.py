"""`fathom look`: one picture through one network, and what there is to see inside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from fathom.errors import UserError, require

if TYPE_CHECKING:
    from fathom.classifier import Classifier
    from fathom.look.sheet import Sheet

_AMONG = 256  # pictures that are searched for patches


@Parameter(name="*", group=Group("Network, where it is not a run's", sort_key=2))
@dataclass(frozen=True)
class NetworkOptions:
    """Which network is looked into instead of a run's.

    Parameters
    ----------
    weights
        A pretrained network: lite0, lite1, lite2, NETWORK@torchvision, timm:NAME, NETWORK@FILE, or
        a checkpoint of a run. No RUN is then named.
    model
        The network, where --weights does not say it: --weights torchvision --model resnet50.
    """

    weights: str | None = None
    model: str | None = None


@Parameter(name="*", group=Group("What to look at", sort_key=3))
@dataclass(frozen=True)
class WhatOptions:
    """What of the network is shown.

    Parameters
    ----------
    class_
        The class to explain, by name or number from 0; by default the likeliest.
    stage
        The stage to look into, from 1; by default the last.
    channel
        The channel of that stage, from 0; by default the one with the highest peak.
    among
        A folder of pictures, an archive or a built-in name: of up to 256 of its pictures, the parts
        that excite the channel most are shown, too.
    """

    class_: Annotated[str | None, Parameter(name="--class")] = None
    stage: int | None = None
    channel: int | None = None
    among: str | None = None


def look(
    *paths: Path,
    out: Path | None = None,
    network: NetworkOptions = NetworkOptions(),
    what: WhatOptions = WhatOptions(),
    device: str = "auto",
    json: Annotated[bool, Parameter(name="--json", negative="", show_default=False)] = False,
) -> None:
    """Draw what a network sees in a picture: filters, maps, Grad-CAM, occlusion, deconvolution.

    fathom look RUN IMAGE, or fathom look IMAGE --weights lite0.

    Parameters
    ----------
    paths
        The folder that `fathom train` printed, and a picture; with --weights the picture alone.
    out
        The sheet to write, a .png file; by default IMAGE-look.png here.
    device
        auto, cpu, cuda, cuda:1, mps.
    json
        Print one JSON object: file, top, class, stage, maps, grad_cam, occlusion, deconvolution,
        patches.
    """
    picture = _picture(paths, network)
    file = out or Path(f"{picture.stem}-look.png")
    require(file.suffix.lower() == ".png", f"--out is {file}; a sheet is a .png file")
    require(file.parent.is_dir(), f"there is no folder {file.parent} to write {file.name} into")
    from fathom.cli.app import show_json
    from fathom.look.draw import draw
    from fathom.look.sheet import look as look_inside
    from fathom.look.subject import all_images, read_picture, some_views

    pixels = read_picture(picture)
    name, classifier = _network(paths[0], network, device)
    among = None
    if what.among is not None:
        images = all_images(what.among)
        among = some_views(images, classifier.preprocess, most=_AMONG)
    sheet = look_inside(
        classifier,
        pixels,
        target=what.class_,
        stage=what.stage,
        channel=what.channel,
        among=among,
    )
    try:
        draw(sheet, title=f"{picture.name}, as {name} sees it").save(file)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror or error}; choose --out") from error
    if json:
        show_json({"file": str(file), "network": name, "picture": str(picture), **sheet.to_dict()})
        return
    _show(sheet)
    print(f"sheet: {file}")


def _picture(paths: tuple[Path, ...], network: NetworkOptions) -> Path:
    """The picture among the paths. Raises UserError for too many or too few of them."""
    require(
        network.model is None or network.weights is not None,
        "--model has no effect without --weights; add --weights, or name a run",
    )
    if network.weights is not None:
        require(
            len(paths) == 1,
            f"{len(paths)} paths with --weights, which take the place of a run; name one picture",
        )
    else:
        require(
            len(paths) == 2,
            f"{len(paths)} paths; name a run and a picture, or a picture and --weights lite0",
        )
    return paths[-1]


def _network(run: Path, network: NetworkOptions, device: str) -> tuple[str, Classifier]:
    """What the network is called, and the network."""
    from fathom.look.subject import from_run, from_weights

    if network.weights is None:
        return run.resolve().name, from_run(run, device=device)
    from fathom.features.backbone import find_backbones

    backbones = find_backbones(network.weights, network.model)
    require(
        len(backbones) == 1,
        f"--weights names {len(backbones)} networks; look takes one at a time",
    )
    return backbones[0].label, from_weights(backbones[0], device=device)


def _show(sheet: Sheet) -> None:
    from fathom.cli.tables import console, print_columns

    rows: list[tuple[Any, ...]] = [(name, f"{chance:.1%}") for name, chance in sheet.top]
    print_columns(("class", "probability"), rows, left=("class",))
    found, one = sheet.occlusion, sheet.projection
    name, lowest = sheet.class_names[sheet.target], float(found.probabilities.min())
    half = (
        "nothing in it speaks for the class"
        if sheet.attention.silent
        else f"half of the heat lies on {sheet.attention.half:.0%} of the map"
    )
    console().print(
        f"{name} by Grad-CAM, stage {sheet.stage + 1}: {half}\n"
        f"{name} by occlusion: {found.whole:.1%} on the whole picture, {lowest:.1%} where the "
        f"square costs most; at {found.changed} of {found.tops.numel()} places another class is "
        f"likeliest\n"
        f"strongest unit of stage {sheet.stage + 1}, channel {one.channel}: {one.value:.3g}",
        markup=False,
        soft_wrap=True,
    )
