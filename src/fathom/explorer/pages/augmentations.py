"""What augmentations do to a picture: one by one, by whole recipes, and the views of a test."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache, partial
from threading import Timer
from typing import Any

import numpy as np
from dash import html

from fathom.data.crops import View, at_scale, cut_view, resized
from fathom.data.decode import Pixels
from fathom.explorer.controls import again, choice, picture, slider
from fathom.explorer.page import Card, Page
from fathom.explorer.photos import image, photo
from fathom.explorer.pictures import Pictures
from fathom.explorer.shell import facts, graph, link, message, named
from fathom.figures.charts import chart_from_dict
from fathom.figures.draw import draw
from fathom.ledger.recorded import recorded
from fathom.preview.exhibits import EXHIBITS, SIDE, Exhibit
from fathom.preview.pixels import IMAGENET_VIEW, Named, Shown, show, show_recipe
from fathom.preview.words import difference, what_differs, what_is_random, what_was_drawn
from fathom.recipes.registry import RECIPES, known_recipe
from fathom.tta.protocol import choose_protocol

_DRAWS = 8


def page(store: Pictures) -> Page:
    """The page of augmentations."""
    recipes = {name: f"{name} ({known.year})" for name, known in RECIPES.items()}
    return Page(
        path="augmentations",
        title="Augmentations",
        lead="What would CutMix do to your picture? Choose an augmentation and its strength, and "
        "draw again as often as you like: every picture comes from the batches that train.",
        controls=(
            picture("picture", "Picture", store),
            choice(
                "augmentation", "Augmentation", {k: e.label for k, e in EXHIBITS.items()}, "cutmix"
            ),
            slider("strength", "Strength", [(0, "weak"), (5, "published"), (10, "strong")], 5),
            again("again", "Draw again"),
            choice("recipe", "Recipe", recipes, "convnext_2022"),
        ),
        cards=(
            Card(
                "one",
                "One augmentation",
                partial(draw_one, store),
                ("picture", "augmentation", "strength", "again"),
            ),
            Card(
                "keeps",
                "Does it keep the label?",
                draw_keeps,
                ("augmentation",),
            ),
            Card(
                "pipeline",
                "Everything that a recipe leaves to chance",
                partial(draw_recipe, store),
                ("picture", "recipe", "again"),
            ),
            Card("views", "The fifty views of a test", partial(draw_views, store), ("picture",)),
        ),
    )


def draw_one(store: Pictures, picture: str, augmentation: str, strength: float, again: int) -> Any:
    """The picture as evaluated, and draws of one augmentation."""
    _warm()
    exhibit = EXHIBITS[augmentation]
    value = exhibit.strength.value(strength) if exhibit.strength else 0.0
    pictures = _pictures(store, picture)
    shown = show(
        pictures if exhibit.mixes else pictures[:1],
        exhibit.settings(value),
        draws=_DRAWS,
        seed=again,
        change=exhibit.change,
    )
    return [
        html.H3(exhibit.label),
        facts(_facts(exhibit, value)),
        _photos(shown, pictures[0][1]),
        html.P(_told(shown, pictures[0][1])),
    ]


@cache
def _warm() -> None:
    """Load the kernels of policies a second after the first look: whoever chooses a policy first
    would wait two seconds for them."""
    timer = Timer(1.0, importlib.import_module, ("torchvision.transforms.v2.functional",))
    timer.daemon = True
    timer.start()


def _pictures(store: Pictures, key: str) -> list[Named]:
    """The picture that was chosen and the first other one, with which it is mixed."""
    names = store.names()
    other = next(name for name in names if name != key)
    beside = names[other] if names[other] != names[key] else "The other picture"
    return [(names[key], store.get(key)), (beside, store.get(other))]


def _facts(exhibit: Exhibit, value: float) -> list[tuple[str, str]]:
    found = [("What it does", exhibit.what)]
    strength = exhibit.strength
    if strength is None:
        return [*found, ("Strength", "it has none to set: the slider changes nothing here")]
    return [
        *found,
        ("Strength", strength.said(value)),
        ("Published", f"{strength.said(strength.published)}: {strength.source}"),
    ]


def _photos(shown: Shown, pixels: Pixels) -> Any:
    """The originals, and every draw with what it is."""
    plain = shown.originals[0]
    names = [look.shares[0][0] for look in shown.originals]
    figures = [
        photo(look.picture, f"{name}, as evaluated", html.Strong(name), html.Div("as evaluated"))
        for look, name in zip(shown.originals, names, strict=True)
    ]
    for number, (look, drawn) in enumerate(shown.draws, 1):
        said = [what_was_drawn(drawn, *pixels.shape[:2])]
        caption: list[Any] = []
        if len(shown.originals) > 1:
            shares = [dict(look.shares).get(name, 0.0) for name in names]
            said.insert(0, " + ".join(f"{s:.0%} {n}" for s, n in zip(shares, names, strict=True)))
            caption.append(_bar(shares))
        elif not said[0] and look.picture.shape == plain.picture.shape:
            said = [what_differs(plain.picture, look.picture)]
        said = list(filter(None, said))
        alt = f"Draw {number}: {', '.join(said)}"
        figures.append(photo(look.picture, alt, *caption, *map(html.Div, said)))
    return html.Div(figures, className="photos")


def _bar(shares: Sequence[float]) -> Any:
    """A mixed label as a bar: blue is the picture's own share, orange the other's."""
    parts = [html.Span(style={"width": f"{100 * share:.4g}%"}) for share in shares]
    return html.Div(parts, className="shares")


def _told(shown: Shown, pixels: Pixels) -> str:
    """What there is to see, from the numbers of these draws."""
    plain, looks = shown.originals[0], [look for look, _ in shown.draws]
    name = plain.shares[0][0]
    if len(shown.originals) > 1:
        own = [dict(look.shares).get(name, 0.0) for look in looks]
        return (
            f"In these {len(own)} draws “{name}” keeps {min(own):.0%} to {max(own):.0%} of its "
            f"label, {sum(own) / len(own):.0%} on average; the rest goes to "
            f"“{shown.originals[1].shares[0][0]}”. Blue is its share, orange the other's."
        )
    parts = [drawn.part for _, drawn in shown.draws if drawn.part is not None]
    if parts:
        height, width = pixels.shape[:2]
        shares = [(r - left) * (b - t) / (height * width) for left, t, r, b in parts]
        tall, wide = resized(height, width, IMAGENET_VIEW.resize)
        return (
            f"These {len(shares)} crops show {min(shares):.0%} to {max(shares):.0%} of the "
            f"picture; the view that is evaluated shows {SIDE**2 / (tall * wide):.0%}."
        )
    apart = [difference(plain.picture, look.picture) for look in looks]
    return (
        "A pixel differs from the view that is evaluated by "
        f"{sum(apart) / len(apart):.1f} of 255 on average of these {len(apart)} draws, "
        f"from {min(apart):.1f} to {max(apart):.1f}."
    )


def draw_recipe(store: Pictures, picture: str, recipe: str, again: int) -> Any:
    """Draws by everything that a recipe leaves to chance, in words and pictures."""
    pictures = _pictures(store, picture)
    made, shown = show_recipe(pictures, recipe, draws=_DRAWS, seed=again)
    height, width = shown.draws[0][0].picture.shape[:2]
    evaluated = shown.originals[0].picture.shape[0]
    return [
        html.H3(recipe),
        html.P(known_recipe(recipe).headline),
        html.Ul([html.Li(phrase) for phrase in what_is_random(made.augment)]),
        _photos(shown, pictures[0][1]),
        html.P(
            f"It trains at {width} x {height} pixels and is evaluated at {evaluated}, as made for "
            "as many images as ImageNet has."
        ),
        html.P(
            ["On your own data: ", html.Code(f"fathom augment DATA --recipe {recipe}")],
            className="quiet",
        ),
    ]


def draw_keeps(augmentation: str) -> Any:
    """What was measured of an augmentation, and how to measure it on one's own data."""
    exhibit = EXHIBITS[augmentation]
    if exhibit.mixes:
        return message(f"{exhibit.label} changes the label on purpose, and says by how much.")
    if exhibit.check is None:
        return message(
            f"{exhibit.label} cannot be checked alone yet. `fathom augment check DATA --augment "
            "NAME` takes " + ", ".join(dict.fromkeys(e.check for e in EXHIBITS.values() if e.check))
        )
    command = html.P(
        [
            "It depends on the data. On yours: ",
            html.Code(f"fathom augment check DATA --augment {exhibit.check}"),
        ]
    )
    return [*_measured(exhibit.check), command]


def _measured(check: str) -> list[Any]:
    """The recorded experiment: its sentence for this augmentation, and its chart."""
    found = recorded("label-keeping")
    if found is None:
        return [html.P("The experiment label-keeping is not recorded yet.")]
    sentences = found["findings"]["sentences"]
    mine = [text for text in sentences if text.startswith(f"{check}: ")]
    chart = chart_from_dict(found["findings"]["charts"][0])
    told = mine or [f"{check} is not among what the recorded experiment measured:"]
    return [
        html.P([*told, " ", link("The experiment", "experiments", experiment="label-keeping")]),
        graph("augmentations-keeps-chart", draw(chart), describes=" ".join([*told, chart.caption])),
        html.P(chart.caption, className="quiet"),
    ]


def draw_views(store: Pictures, picture: str) -> Any:
    """Ten crops at each of five scales, and where in the picture they lie."""
    (_, pixels), _ = _pictures(store, picture)
    protocol = choose_protocol("ten-multiscale", IMAGENET_VIEW)
    views = protocol.views_of(*pixels.shape[:2])
    pairs = list(zip(views, (look.place for look in protocol.looks()), strict=True))
    told = (
        f"{len(views)} views, of which {len(set(views))} are different: where a scale is as small "
        "as the crop, its corners meet."
        if len(set(views)) < len(views)
        else f"{len(views)} views, all of them different."
    )
    return [
        html.P(
            [
                f"{told} Their scores are averaged, for {len(set(views))} passes through the "
                "network instead of one. The scales are those of He et al. 2015, "
                "arXiv:1512.03385, Section 3.4; ten crops as in Krizhevsky et al. 2012, Section "
                "4.1. On a run: ",
                html.Code("fathom evaluate RUN --views ten-multiscale"),
            ]
        ),
        *[
            _scale(pixels, [(view, place) for view, place in pairs if view.scale == scale])
            for scale in sorted(protocol.scales)
        ],
    ]


def _scale(pixels: Pixels, views: Sequence[tuple[View, str]]) -> Any:
    """One scale: the whole picture with the boxes of its crops, and the crops."""
    scale = views[0][0].scale
    whole = at_scale(pixels, scale, IMAGENET_VIEW.interpolation)
    height, width = whole.shape[:2]
    boxes = dict.fromkeys(view.box for view, _ in views)
    seen = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes:
        seen[top:bottom, left:right] = True
    each = SIDE**2 / (height * width)
    told = (
        f"{width} x {height} pixels: one crop of {SIDE} shows {each:.0%} of the picture, all "
        f"together {seen.mean():.0%}."
    )
    figures = []
    for view, place in views:
        name = f"{place}, mirrored" if view.mirrored else place
        shown = cut_view(whole, view).permute(1, 2, 0).numpy()
        figures.append(photo(shown, f"{name}, at {scale} pixels", name, shrink=2))
    outlines = [
        html.Span(
            style={
                "left": f"{100 * left / width:.4g}%",
                "top": f"{100 * top / height:.4g}%",
                "width": f"{100 * (right - left) / width:.4g}%",
                "height": f"{100 * (bottom - top) / height:.4g}%",
            }
        )
        for left, top, right, bottom in boxes
    ]
    framed = html.Div(
        [image(whole, f"The whole picture with {len(boxes)} boxes. {told}", shrink=2), *outlines],
        className="boxes",
        style={"width": f"{width // 3}px"},
    )
    return html.Section(
        [
            html.H3(f"Short side {scale} pixels"),
            html.P(told, className="quiet"),
            html.Div([framed, html.Div(figures, className="ten")], className="scale"),
        ],
        **named(f"Views at {scale} pixels"),
    )
