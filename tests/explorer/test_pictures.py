"""Pictures of one's own: what is taken, and what is refused."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fathom.errors import UserError
from fathom.explorer.pictures import Pictures


def url(picture: Image.Image) -> str:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"


def test_samples_are_photographs() -> None:
    store = Pictures()
    assert list(store.names()) == ["flower", "china"]
    assert store.get("flower").shape == (427, 640, 3)


def test_a_picture_is_kept_as_it_is_or_reduced() -> None:
    store, rng = Pictures(), np.random.default_rng(0)
    pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    key = store.put(url(Image.fromarray(pixels)), "mine.png")
    assert (store.get(key) == pixels).all()
    assert store.names()[key] == "mine.png"
    large = store.put(url(Image.new("RGB", (1600, 1024))), "large.png")
    assert store.get(large).shape == (512, 800, 3)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("data:image/png;base64,%%%", "not a file"),
        ("", "cannot be used"),
        (f"data:image/png;base64,{base64.b64encode(b'no picture').decode()}", "cannot be used"),
        (url(Image.new("1", (10001, 10000))), "million pixels"),
        (url(Image.new("L", (900, 100))), "times as long"),
        ("data:;base64," + "A" * (24 << 20), "larger than 16 MiB"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(sent: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Pictures().put(sent, "mine.png")


def test_the_oldest_goes_when_there_are_many() -> None:
    store = Pictures()
    keys = [store.put(url(Image.new("RGB", (8, 8), (n, 0, 0))), f"{n}.png") for n in range(13)]
    assert len(store.names()) == 2 + 12
    with pytest.raises(UserError, match="not kept any more"):
        store.get(keys[0])
    assert store.get(keys[-1])[0, 0, 0] == 12
