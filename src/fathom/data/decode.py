"""One image file into pixels, read as a person sees it, or one reason why it cannot be.

Grayscale, palette, RGBA, CMYK, 16-bit and EXIF-rotated files all come out as upright 8-bit gray or
RGB. Transparent pixels are laid on white, as browsers and viewers show them.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

Pixels = NDArray[np.uint8]

MAX_PIXELS = 128 * 2**20  # a larger canvas is taken for a decompression bomb
MIN_SIDE = 2
MAX_ASPECT = 64

_GRAY = {"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I", "F"}
# Formats that are one another's special cases: a phone's multi-picture file is a JPEG to everybody.
_SAME = {"MPO": "JPEG", "JPEG": "JPEG", "APNG": "PNG", "DIB": "BMP"}
_TURNS = {  # EXIF orientation -> what sets the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAP_SIDES = {_TURNS[5], _TURNS[6], _TURNS[7], _TURNS[8]}


class BadImageError(Exception):
    """A file that cannot be used, with the reason in a few words."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded: upright width and height, and channels."""

    width: int
    height: int
    channels: int


def _open(file: BinaryIO, name: str) -> Image.Image:
    """A checked, undecoded image. Raises BadImageError."""
    if not file.read(1):
        raise BadImageError("empty file, zero bytes")
    file.seek(0)
    with warnings.catch_warnings(action="ignore"):  # the limits are ours, and odd metadata are fine
        try:
            image = Image.open(file)
        except Image.DecompressionBombError as error:
            raise BadImageError("decompression bomb: far too many pixels") from error
        except UnidentifiedImageError as error:
            raise BadImageError("not an image") from error
        except Exception as error:  # Pillow's parsers raise almost anything on hostile bytes
            raise BadImageError(f"damaged header ({_words(error)})") from error
    if image.format == "EPS":
        raise BadImageError("PostScript is a program, not an image, and is never run")
    _check_size(*image.size)
    _check_extension(image, name)
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImageError(f"decompression bomb: {width}x{height} pixels")
    if min(width, height) < MIN_SIDE or max(width, height) > MAX_ASPECT * min(width, height):
        raise BadImageError(f"absurd size: {width}x{height} pixels")


def _check_extension(image: Image.Image, name: str) -> None:
    suffix = PurePosixPath(name).suffix.lower()
    claimed = Image.registered_extensions().get(suffix)
    actual = str(image.format)
    if claimed is not None and _SAME.get(claimed, claimed) != _SAME.get(actual, actual):
        raise BadImageError(f"mislabelled: named {suffix} but holds {actual}")


def _words(error: Exception) -> str:
    return " ".join(str(error).split())[:80] or type(error).__name__


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What sets an image upright; None for nothing, and where its EXIF data are damaged."""
    try:
        with warnings.catch_warnings(action="ignore"):
            # The base class's method: that of a PNG first decodes the whole picture.
            turn: object = Image.Image.getexif(image).get(0x0112)
            return _TURNS.get(turn) if isinstance(turn, int) else None
    except Exception:  # as hostile as headers, but no reason to lose a picture
        return None


def read_header(file: BinaryIO, name: str) -> Header:
    """Size and channels (1 or 3), reading no more than the header. Raises BadImageError."""
    image = _open(file, name)
    width, height = image.size
    if image.format != "TIFF" and _turn(image) in _SWAP_SIDES:  # Pillow turns TIFF files itself
        width, height = height, width
    return Header(width, height, 1 if image.mode in _GRAY else 3)


def decode(data: bytes, name: str, channels: int) -> Pixels:
    """The bytes of one file -> (H, W, channels) uint8 pixels, channels 1 or 3.

    Raises BadImageError for whatever cannot be decoded whole: a truncated file is an error, not a
    picture with a gray half.
    """
    image = _open(io.BytesIO(data), name)
    try:
        with warnings.catch_warnings(action="ignore"):
            image.load()
            turn = _turn(image)
            return from_pillow(image if turn is None else image.transpose(turn), channels)
    except BadImageError:
        raise
    except Exception as error:
        raise BadImageError(f"truncated or damaged ({_words(error)})") from error


def from_pillow(image: Image.Image, channels: int) -> Pixels:
    """A Pillow image of any mode -> (H, W, channels) uint8 pixels, as a person sees it."""
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if channels == 1 else pixels


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit or floating-point gray -> 8-bit gray, full scale kept as full scale."""
    values: NDArray[Any] = np.asarray(image)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 65535:
        raise BadImageError("pixel values are neither 8-bit, 16-bit nor between 0 and 1")
    if image.mode == "F" and values.max() <= 1:
        scaled = values * 255.0
    else:
        # A 16-bit file holds 0..65535; one whose values stay below 256 holds plain 8-bit values.
        scaled = values / 257.0 if image.mode.startswith("I;16") or values.max() > 255 else values
    if "transparency" in image.info:  # one gray value of a 16-bit PNG that stands for nothing
        scaled = np.where(values == image.info["transparency"], 255, scaled)
    return Image.fromarray(np.rint(scaled).astype(np.uint8))
