"""Pictures on a page: the pixels that were given, and words for them."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from dash import html
from PIL import Image

from fathom.data.decode import Pixels
from fathom.explorer.photos import image, photo
from tests.explorer.reading import text_of

RAMP = np.indices((64, 96)).sum(0)[..., None].repeat(3, 2).astype(np.uint8)


def decoded(found: Any) -> Pixels:
    """The pixels of the data URL."""
    kind, _, text = found.src.partition(",")
    assert kind == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def test_the_pixels_arrive() -> None:
    found = image(RAMP, "a ramp")
    assert found.alt == "a ramp"
    assert np.abs(decoded(found).astype(int) - RAMP).max() <= 6


def test_gray_pictures_do_too() -> None:
    assert np.abs(decoded(image(RAMP[..., :1], "")).astype(int) - RAMP).max() <= 6


def test_pixels_that_become_one_are_averaged() -> None:
    small = decoded(image(RAMP, "", shrink=4))
    assert small.shape == (16, 24, 3)
    wanted = RAMP.reshape(16, 4, 24, 4, 3).mean((1, 3))
    assert np.abs(small - wanted).max() <= 6


def test_the_caption_stands_below() -> None:
    found = photo(RAMP, "a ramp", html.Strong("A <b>ramp</b>"), " of gray")
    assert [type(part).__name__ for part in found.children] == ["Img", "Figcaption"]
    assert text_of(found) == " A <b>ramp</b>  of gray"
