"""Pictures to try things on: samples, and the reader's own, which are kept in memory only.

The samples are the two photographs that come with scikit-learn (its
load_sample_image): china.jpg by danielbuechele and flower.jpg by vultilion, both CC BY 2.0, as its
README says. They are read from there, and are not part of Fathom.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import threading
from collections import OrderedDict
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from fathom.data.decode import BadImageError, Pixels, decode, from_pillow, read_header
from fathom.data.views import to_image
from fathom.errors import UserError, require

LARGEST = 16 * 2**20  # bytes of a file
_MOST_PIXELS = 64 * 10**6
_SIDE = 512  # a larger picture is reduced to this shorter side
_LONGEST = 8  # times as long as wide
_KEPT = 12  # pictures of one's own
_SAMPLES = {"flower": "A flower", "china": "A Chinese palace"}


class Pictures:
    """Sample pictures and the last few of one's own, by key, (H, W, 3) uint8 each.

    Safe to use from several threads. Nothing is written to the disk, and what is not asked for
    again is gone with the process.
    """

    def __init__(self) -> None:
        self._own: OrderedDict[str, tuple[str, Pixels]] = OrderedDict()
        self._lock = threading.Lock()

    def names(self) -> dict[str, str]:
        """What each picture is called, by its key, the samples first."""
        with self._lock:
            return _SAMPLES | {key: name for key, (name, _) in self._own.items()}

    def put(self, url: str, name: str) -> str:
        """Keep the picture of a data URL, reduced to 512 pixels on the shorter side -> its key.

        Raises UserError for what is too large, or no picture.
        """
        _, _, text = url.partition(";base64,")
        require(len(text) <= 1.4 * LARGEST, f"the file is larger than {LARGEST >> 20} MiB")
        try:
            data = base64.b64decode(text, validate=True)
            header = read_header(io.BytesIO(data), name)
            _check_pixels(header.width, header.height)
            pixels = _reduced(decode(data, name, 3))
        except binascii.Error as error:
            raise UserError("what came is not a file") from error
        except BadImageError as error:
            raise UserError(f"this picture cannot be used: {error}") from error
        key = f"own-{hashlib.sha256(data).hexdigest()[:12]}"
        with self._lock:
            self._own[key] = (name[:40], pixels)
            self._own.move_to_end(key)
            while len(self._own) > _KEPT:
                self._own.popitem(last=False)
        return key

    def get(self, key: str) -> Pixels:
        """The pixels of a picture. Raises UserError where it is not kept any more."""
        if key in _SAMPLES:
            return _sample(key)
        with self._lock:
            found = self._own.get(key)
        if found is None:
            raise UserError("this picture is not kept any more; choose it again")
        return found[1]


def _check_pixels(width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise BadImageError(f"{width}x{height} are more than 64 million pixels")
    if max(width, height) > _LONGEST * min(width, height):
        raise BadImageError(f"{width}x{height} is more than {_LONGEST} times as long as wide")


def _reduced(pixels: Pixels) -> Pixels:
    short = min(pixels.shape[:2])
    if short <= _SIDE:
        return pixels
    height, width = (max(1, round(side * _SIDE / short)) for side in pixels.shape[:2])
    picture = to_image(pixels).resize((width, height), Image.Resampling.LANCZOS)
    return from_pillow(picture, 3)


@cache
def _sample(key: str) -> Pixels:
    """Read as any file is: scikit-learn's own reader would import all of it first."""
    found = find_spec("sklearn")
    assert found is not None, "scikit-learn is among the dependencies"
    assert found.origin is not None
    file = Path(found.origin).parent / "datasets" / "images" / f"{key}.jpg"
    return decode(file.read_bytes(), file.name, 3)
