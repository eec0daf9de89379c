"""The gallery: what it shows is what the training batches drew, in pictures, bars and words."""

from __future__ import annotations

import base64
import io
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from dash import dcc, html
from PIL import Image

from fathom.data.crops import at_scale, ten_crops
from fathom.data.decode import Pixels
from fathom.explorer.pages.augmentations import (
    draw_keeps,
    draw_one,
    draw_recipe,
    draw_views,
    page,
)
from fathom.explorer.pictures import Pictures
from fathom.explorer.shell import drawn
from fathom.keeps.names import AUGMENTATIONS
from fathom.ledger.recorded import recorded
from fathom.preview.exhibits import EXHIBITS
from fathom.preview.pixels import Shown, show, show_recipe
from fathom.preview.words import difference, what_is_random
from fathom.recipes.registry import RECIPES
from tests.explorer.reading import components, text_of
from tests.images import encode, noise

STORE = Pictures()
PAGE = page(STORE)
FAILED = "could not be drawn"


def url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def images(found: Any) -> list[Any]:
    return [part for part in components(found) if isinstance(part, html.Img)]


def captions(found: Any) -> list[str]:
    return [text_of(part) for part in components(found) if isinstance(part, html.Figcaption)]


def bars(found: Any) -> list[list[float]]:
    """The widths of each bar's parts, in percent."""
    return [
        [float(span.style["width"].rstrip("%")) for span in part.children]
        for part in components(found)
        if getattr(part, "className", "") == "shares"
    ]


def pixels_of(found: Any) -> Pixels:
    data = base64.b64decode(found.src.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def shown_by(name: str, place: float = 5, seed: int = 0) -> Shown:
    """What the page draws, by the code of the training batches."""
    exhibit = EXHIBITS[name]
    pictures = [(label, STORE.get(key)) for key, label in STORE.names().items()][:2]
    value = exhibit.strength.value(place) if exhibit.strength else 0.0
    return show(
        pictures if exhibit.mixes else pictures[:1],
        exhibit.settings(value),
        draws=8,
        seed=seed,
        change=exhibit.change,
    )


@pytest.mark.parametrize("name", ["cutmix", "mixup", "resized-crop", "rotate", "cutout"])
def test_the_pictures_are_those_of_the_training_batches(name: str) -> None:
    found, wanted = draw_one(STORE, "flower", name, 5, 0), shown_by(name)
    looks = [*wanted.originals, *(look for look, _ in wanted.draws)]
    assert len(images(found)) == len(looks)
    for image, look in zip(images(found), looks, strict=True):
        assert difference(pixels_of(image), look.picture) < 4, "as a JPEG keeps it"


def test_what_cutmix_does_is_told_with_its_shares() -> None:
    """The label as a bar, as numbers under it, and in a sentence."""
    found, wanted = draw_one(STORE, "flower", "cutmix", 5, 3), shown_by("cutmix", seed=3)
    own = [dict(look.shares).get("A flower", 0.0) for look, _ in wanted.draws]
    assert all(0 <= share < 1 for share in own)
    assert bars(found) == [
        [pytest.approx(100 * share, rel=1e-3), pytest.approx(100 - 100 * share, rel=1e-3)]
        for share in own
    ]
    for caption, share in zip(captions(found)[2:], own, strict=True):
        assert caption.strip() == (f"{share:.0%} A flower + {1 - share:.0%} A Chinese palace")
    told = text_of(found)
    assert f"keeps {min(own):.0%} to {max(own):.0%} of its label" in told
    assert f"{sum(own) / 8:.0%} on average" in told


def test_what_a_policy_drew_stands_under_each_picture() -> None:
    found, wanted = draw_one(STORE, "flower", "rotate", 10, 0), shown_by("rotate", 10)
    degrees = [given.changes[0][1] for _, given in wanted.draws]
    said = [f"rotate {d:+.1f}".removesuffix(".0").replace("-", "−") + "°" for d in degrees]
    assert [caption.strip() for caption in captions(found)[1:]] == said


def test_crops_say_how_much_they_show() -> None:
    found, wanted = draw_one(STORE, "flower", "resized-crop", 5, 0), shown_by("resized-crop")
    height, width = STORE.get("flower").shape[:2]
    shares = []
    for _, given in wanted.draws:
        assert given.part is not None
        left, top, right, bottom = given.part
        shares.append((right - left) * (bottom - top) / (height * width))
    assert captions(found)[1:] == [f"{share:.0%} of the picture" for share in shares]
    assert f"show {min(shares):.0%} to {max(shares):.0%} of the picture" in text_of(found)
    assert "is evaluated shows 51%" in text_of(found), "224 of 256 x 383 pixels"
    assert f"{224**2 / (256 * 383):.0%}" == "51%"


def test_flips_say_which_they_are() -> None:
    told = captions(draw_one(STORE, "flower", "alternating-flip", 5, 0))[1:]
    assert sorted(told) == ["as it is"] * 4 + ["mirrored"] * 4
    assert all(a != b for a, b in pairwise(told))
    assert set(captions(draw_one(STORE, "flower", "vertical-flip", 5, 0))[1:]) == {
        "as it is",
        "upside down",
    }


@pytest.mark.parametrize("name", EXHIBITS)
def test_every_augmentation_is_drawn_with_its_strength_in_words(name: str) -> None:
    exhibit = EXHIBITS[name]
    card = next(card for card in PAGE.cards if card.name == "one")
    values = {"picture": "china", "augmentation": name, "strength": 10.0, "again": 7}
    found = drawn(card, values)
    told = text_of(found)
    assert FAILED not in told
    assert len(images(found)) == (10 if exhibit.mixes else 9)
    assert all(image.alt for image in images(found))
    assert exhibit.what in told
    if exhibit.strength is None:
        assert "the slider changes nothing here" in told
    else:
        assert exhibit.strength.said(exhibit.strength.strongest) in told
        assert exhibit.strength.said(exhibit.strength.published) in told
        assert exhibit.strength.source in told


def test_each_control_changes_the_pictures() -> None:
    ground: dict[str, Any] = {
        "picture": "flower",
        "augmentation": "cutmix",
        "strength": 5.0,
        "again": 0,
    }
    first = [image.src for image in images(draw_one(STORE, **ground))]
    for name, value in (
        ("picture", "china"),
        ("augmentation", "mixup"),
        ("strength", 0.0),
        ("again", 1),
    ):
        other = [image.src for image in images(draw_one(STORE, **{**ground, name: value}))]
        assert not set(first[2:]) & set(other[2:]), name
    assert first == [image.src for image in images(draw_one(STORE, **ground))]


def test_a_picture_of_ones_own_is_mixed_with_the_first_sample() -> None:
    key = STORE.put(url(encode(noise(0, 300, 260))), "<b>mine</b>.png")
    found = draw_one(STORE, key, "mixup", 10, 0)
    assert captions(found)[0] == "<b>mine</b>.png as evaluated"
    assert captions(found)[1] == "A flower as evaluated"
    key = STORE.put(url(encode(noise(1, 300, 260))), "A flower")
    other = captions(draw_one(STORE, key, "mixup", 10, 0))
    assert other[:2] == ["A flower as evaluated", "The other picture as evaluated"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_drawn_with_what_it_leaves_to_chance(name: str) -> None:
    found = draw_recipe(STORE, "flower", name, 2)
    pictures = [(label, STORE.get(key)) for key, label in STORE.names().items()][:2]
    made, wanted = show_recipe(pictures, name, draws=8, seed=2)
    told = text_of(found)
    for phrase in what_is_random(made.augment):
        assert phrase in told
    looks = [*wanted.originals, *(look for look, _ in wanted.draws)]
    for image, look in zip(images(found), looks, strict=True):
        assert pixels_of(image).shape == look.picture.shape
    size = made.image_size
    assert f"at {size} x {size} pixels and is evaluated at {made.eval_size or size}" in told
    assert len(bars(found)) == (8 if made.augment.mix else 0)


@pytest.mark.parametrize("name", EXHIBITS)
def test_whether_it_keeps_the_label_is_said_as_far_as_it_is_known(name: str) -> None:
    found, exhibit = draw_keeps(name), EXHIBITS[name]
    told = text_of(found)
    if exhibit.mixes:
        assert "changes the label on purpose" in told
    elif exhibit.check is None:
        assert all(known in told for known in AUGMENTATIONS)
    else:
        assert f"fathom augment check DATA --augment {exhibit.check}" in told


def test_what_was_measured_stands_beside_it() -> None:
    run = recorded("label-keeping")
    assert run is not None
    for name, check in (("flip", "horizontal-flip"), ("vertical-flip", "vertical-flip")):
        (sentence,) = [s for s in run["findings"]["sentences"] if s.startswith(f"{check}:")]
        found = draw_keeps(name)
        assert sentence in text_of(found)
        assert any(isinstance(part, dcc.Graph) for part in components(found))
    assert "is not among what" in text_of(draw_keeps("cutout"))


def test_the_fifty_views_are_those_of_the_protocol() -> None:
    pixels = STORE.get("china")
    found = draw_views(STORE, "china")
    views = ten_crops(*pixels.shape[:2], scales=(224, 256, 384, 480, 640))
    told = text_of(found)
    assert f"50 views, of which {len(set(views))} are different" in told
    assert len(images(found)) == 55
    rows = [part for part in components(found) if isinstance(part, html.Section)]
    for row, scale in zip(rows, (224, 256, 384, 480, 640), strict=True):
        whole = at_scale(pixels, scale)
        mine = [view for view in views if view.scale == scale]
        seen = np.zeros(whole.shape[:2])
        wanted = []
        for view in mine:
            left, top, right, bottom = view.box
            seen[top:bottom, left:right] = 1
            crop = whole[top:bottom, left:right]
            wanted.append(crop[:, ::-1] if view.mirrored else crop)
        share = 224**2 / seen.size
        assert f"shows {share:.0%} of the picture, all together {seen.mean():.0%}" in text_of(row)
        small = [crop.reshape(112, 2, 112, 2, 3).mean((1, 3)) for crop in wanted]
        for image in images(row)[1:]:
            apart = [np.abs(pixels_of(image) - crop).mean() for crop in small]
            best = int(np.argmin(apart))
            assert apart[best] < 5
            assert ("mirrored" in image.alt) == mine[best].mirrored or apart.count(apart[best]) > 1


def test_boxes_lie_where_the_crops_are_cut() -> None:
    sections = [p for p in components(draw_views(STORE, "flower")) if isinstance(p, html.Section)]
    spans = [
        getattr(part, "style", {})
        for part in components(sections[-1])
        if isinstance(part, html.Span)
    ]
    names = ("left", "top", "width", "height")
    places = {tuple(float(style[name].rstrip("%")) for name in names) for style in spans}
    wide, tall, side = 959, 640, 224
    assert len(places) == 5
    for place in places:
        assert place[2:] == pytest.approx((100 * side / wide, 100 * side / tall), rel=1e-3)
    assert (0.0, 0.0) in {place[:2] for place in places}
    assert max(place[0] for place in places) == pytest.approx(100 - 100 * side / wide, rel=1e-3)


def test_a_square_picture_says_how_few_of_its_views_differ() -> None:
    key = STORE.put(url(encode(noise(1, 240, 240))), "square.png")
    assert f"of which {2 + 4 * 10} are different" in text_of(draw_views(STORE, key))


def test_the_address_names_the_picture_and_the_draw() -> None:
    values = {
        "picture": "china",
        "augmentation": "rotate",
        "strength": 7.0,
        "again": 12,
        "recipe": "fast",
    }
    assert PAGE.read(PAGE.write(values)) == values
    wrong = "?picture=../etc&augmentation=<b>&strength=11&again=-1&recipe=none"
    assert PAGE.read(wrong) == PAGE.read("")


def test_cards_use_only_what_changes_them_and_share_no_id_with_a_control() -> None:
    uses = {card.name: set(card.uses) for card in PAGE.cards}
    assert uses["views"] == {"picture"}
    assert uses["keeps"] == {"augmentation"}
    assert not set(uses) & {control.name for control in PAGE.controls}
