"""The ways to look into a network: each draws one thing that is to see, and says it in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import html
from torch import Tensor

from fathom.explorer.opened import Chosen, maps, occluded, peaks, searched
from fathom.explorer.photos import photo
from fathom.explorer.shell import graph, message
from fathom.figures import look as figures
from fathom.look import paint
from fathom.look.attend import grad_cam
from fathom.look.maps import first_filters, peak, seen_by, sees_light, stage_fields, strongest
from fathom.look.patches import exciting_patches
from fathom.look.project import check_channel, project
from fathom.look.sheet import strongest_maps

_MAPS = 8  # of a stage
_SIDE, _THUMB, _FILTER = 224, 96, 40  # pixels


def draw_cam(chosen: Chosen) -> Any:
    """The picture, lit where the map of the stage speaks for the class."""
    found = grad_cam(chosen.opened.model, chosen.images, target=chosen.target, stage=chosen.stage)
    height, width = found.heat.shape
    if found.silent:
        return message(
            f"Nothing in stage {chosen.stage + 1} speaks for {chosen.name}: the weighted sum of "
            "its maps is nowhere above zero. Choose a likelier class, or another stage."
        )
    words = (
        f"Half of what speaks for {chosen.name} in stage {chosen.stage + 1} comes from "
        f"{percent(found.half)} of its map of {height} x {width} places."
    )
    return [
        _photos(
            framed(paint.spotlight(chosen.view, found.heat), f"lit where it is {chosen.name}"),
            framed(paint.ramp(found.heat / found.heat.max()), f"the map of {height} x {width}"),
        ),
        html.P(words),
        _quiet(
            "Each channel of the map is weighted by the mean gradient of the class's logit by it; "
            "what is above zero of their sum is shown, yellow where it is highest. Selvaraju et "
            "al. 2017, arXiv:1610.02391, equations 1 and 2."
        ),
    ]


def draw_occlusion(chosen: Chosen) -> Any:
    """The class's probability by where a grey square hides the picture."""
    found = occluded(chosen.opened, chosen.store, chosen.picture, chosen.target)
    names = chosen.opened.classifier.class_names
    lowest, highest = float(found.probabilities.min()), float(found.probabilities.max())
    places = found.tops.numel()
    words = (
        f"{chosen.name}: {percent(found.whole)} on the whole picture, from {percent(lowest)} to "
        f"{percent(highest)} behind a square of {found.side} pixels. At {found.changed} of "
        f"{places} places the answer is no longer {names[found.top]}."
    )
    figure = figures.occlusion(
        found.probabilities.tolist(),
        [[names[top] for top in row] for row in found.tops.tolist()],
        [start + found.side / 2 for start in found.starts],
        answer=names[found.top],
        image_size=chosen.view.shape[-1],
    )
    worst = found.covered(chosen.view, found.worst)
    return [
        html.Div(
            [
                graph("look-occlusion", figure, describes=words),
                _photos(framed(paint.picture(worst), f"where it costs most: {percent(lowest)}")),
            ],
            className="two",
        ),
        html.P(words),
        _quiet(
            "A cross is where the likeliest class is another one. Zeiler and Fergus 2013, "
            f"arXiv:1311.2901, Section 4.2. These are {places} passes of the network; a large one "
            "takes a few seconds the first time. `fathom look` takes finer steps."
        ),
    ]


def draw_maps(chosen: Chosen) -> Any:
    """The strongest channels of each stage, and the one that is chosen."""
    found = maps(chosen.opened, chosen.store, chosen.picture)
    first, last = found[0].shape, found[-1].shape
    parts: list[Any] = [
        html.P(
            f"From stage 1 to stage {len(found)} the maps go from {first[2]} x {first[3]} to "
            f"{last[2]} x {last[3]} places, and from {first[1]:,} channels to {last[1]:,}. Of each "
            f"stage the {_MAPS} channels with the highest peaks are shown, black where they are "
            "lowest, white where they are highest."
        )
    ]
    if chosen.channel is not None:
        parts += _one_map(found[chosen.stage][0], chosen.stage, chosen.channel)
    for number, stage in enumerate(strongest_maps(found, _MAPS), 1):
        height, width = stage[0].values.shape
        thumbs = [
            photo(
                paint.enlarged(paint.light(one.values), _THUMB),
                f"Stage {number}, channel {one.channel}",
                f"{one.channel}: {one.peak:.3g}",
            )
            for one in stage
        ]
        heading = f"Stage {number}: {height} x {width}"
        parts += [html.H3(heading), html.Div(thumbs, className="thumbs")]
    return parts


def _one_map(stage: Tensor, number: int, channel: int) -> list[Any]:
    check_channel(channel, len(stage))
    value, (row, column) = peak(stage[channel])
    words = (
        f"stage {number + 1}, channel {channel}: highest, {value:.3g}, in row {row} and column "
        f"{column}"
    )
    return [_photos(framed(paint.light(stage[channel].float()), words))]


def draw_filters(chosen: Chosen) -> Any:
    """All kernels of the first convolution."""
    filters = first_filters(chosen.opened.model)
    count, channels, height, width = filters.shape
    words = f"{count} filters of {height} x {width} pixels"
    told = [html.P(f"{words}, grey where a weight is zero.")]
    if channels == 3:
        light = int((sees_light(filters) >= 0.5).sum())
        told = [
            html.P(
                f"{words}, grey where a weight is zero. {light} of them are mostly alike in all "
                f"colours and see light and dark, as edges are; {count - light} see colour."
            )
        ]
    grid = paint.tiles([paint.signed(kernel) for kernel in filters], side=_FILTER)
    return [
        _photos(photo(grid, f"The {words} of the first convolution", words)),
        *told,
        _quiet(
            "In AlexNet's first filters Zeiler and Fergus saw very high and very low frequencies, "
            "few between, and so took 7 pixels instead of 11, and half the stride: "
            "arXiv:1311.2901, Section 4.1."
        ),
    ]


def draw_projection(chosen: Chosen) -> Any:
    """The strongest activation of a channel put back to pixels, beside what its unit sees."""
    model, size = chosen.opened.model, chosen.view.shape[-1]
    found = project(model, chosen.images, stage=chosen.stage, channel=chosen.channel)
    box = seen_by(stage_fields(model, size)[chosen.stage], found.place, size)
    row, column = found.place
    where = f"stage {chosen.stage + 1}, channel {found.channel}"
    height, width = box[2] - box[0], box[3] - box[1]
    words = (
        f"In {where} the strongest activation is {found.value:.3g}, in row {row} and column "
        f"{column}; its unit sees {height} x {width} of the view's {size} x {size} pixels."
    )
    steered = (
        "The switches of max pooling put what comes back where it came from."
        if found.switched
        else "No max pooling lies before this stage, so that no switch steers the way back: it "
        "shows what the channel responds to rather than what it found in this picture (Springenberg"
        " et al. 2014, arXiv:1412.6806)."
    )
    return [
        _photos(
            framed(paint.signed(_cut(found.pixels, box)), f"{where}, back to the pixels"),
            framed(paint.picture(_cut(chosen.view, box)), "what the unit sees of the picture"),
        ),
        html.P(words),
        html.P(steered),
        _quiet(
            "Unpooling by switches, rectifying what comes back, transposed filters: Zeiler and "
            "Fergus 2013, arXiv:1311.2901, Section 2.1."
        ),
    ]


def draw_patches(chosen: Chosen) -> Any:
    """The parts of many pictures that excite a channel most."""
    found, stage = chosen.opened, chosen.stage
    views, whose = searched(found, chosen.store, tuple(chosen.store.names()))
    channel = chosen.channel
    if channel is None:
        channel = strongest(maps(found, chosen.store, chosen.picture)[stage][0], 1)[0]
    size = views.shape[-1]
    patches = exciting_patches(
        found.model, peaks(found, views, stage), stage=stage, channel=channel, image_size=size
    )
    where = f"stage {stage + 1}, channel {channel}"
    if not patches:
        return message(f"In none of the {len(views)} pictures is {where} above zero; try another.")
    seen = stage_fields(found.model, size)[stage].size
    words = (
        f"Of {len(views)} {whose}, these excite {where} most: its highest value is "
        f"{patches[0].value:.3g}, in the last shown {patches[-1].value:.3g}. Each is what the "
        f"strongest unit sees, {seen[0]:,} x {seen[1]:,} pixels by the graph, cut at the border."
    )
    thumbs = [
        photo(
            paint.enlarged(paint.picture(_cut(views[one.index], one.box)), _THUMB),
            f"Number {number}: {one.value:.3g}",
            f"{one.value:.3g}",
        )
        for number, one in enumerate(patches, 1)
    ]
    return [
        html.P(words),
        html.Div(thumbs, className="thumbs"),
        _quiet(
            "Zeiler and Fergus 2013, arXiv:1311.2901, Figure 2, shows the nine strongest of each "
            "channel. Searching takes a few seconds the first time."
        ),
    ]


def _cut(pixels: Tensor, box: tuple[int, int, int, int]) -> Tensor:
    top, left, bottom, right = box
    return pixels[:, top:bottom, left:right]


def framed(pixels: Any, words: str) -> Any:
    return photo(paint.enlarged(pixels, _SIDE), f"{words[0].upper()}{words[1:]}", words)


def _photos(*pictures: Any) -> Any:
    return html.Div(list(pictures), className="looks")


def _quiet(text: str) -> Any:
    return html.P(text, className="quiet")


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


DRAW: dict[str, Callable[[Chosen], Any]] = {
    "cam": draw_cam,
    "occlusion": draw_occlusion,
    "maps": draw_maps,
    "filters": draw_filters,
    "projection": draw_projection,
    "patches": draw_patches,
}
