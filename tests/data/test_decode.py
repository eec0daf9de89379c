"""Files of every kind come out as a person sees them, or as one reason why not."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fathom.data.decode import BadImageError, Pixels, decode, from_pillow, read_header
from tests.images import chunk, encode, noise, picture, png_by_hand

GRAY = noise(1, 12, 20, 1)
COLOUR = noise(2, 12, 20, 3)
# Blocks of one colour, on which JPEG and WebP lose next to nothing; no two corners are alike.
BLOCKS = np.kron(noise(3, 2, 3, 3), np.ones((16, 16, 1), np.uint8))


def as_rgb(pixels: Pixels) -> Pixels:
    return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels


def on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    share = alpha.astype(float) / 255
    return np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)


@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["gray", "colour"])
@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_files_give_back_their_pixels(kind: str, pixels: Pixels) -> None:
    found = decode(encode(pixels, kind), "a", 3)
    assert found.dtype == np.uint8
    assert np.array_equal(found, as_rgb(pixels))


def test_gray_stays_gray_and_colour_becomes_its_luminance() -> None:
    assert np.array_equal(decode(encode(GRAY), "a.png", 1), GRAY)
    found = decode(encode(COLOUR), "a.png", 1)
    assert found.shape == (12, 20, 1)
    assert np.abs(found[..., 0] - COLOUR @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_one_bit_files_are_black_and_white() -> None:
    bits = GRAY > 127
    found = decode(encode(Image.fromarray(bits[..., 0])), "a.png", 1)
    assert np.array_equal(found, bits * np.uint8(255))


@pytest.mark.parametrize("depth", [2, 4])
def test_gray_of_few_bits_reaches_full_scale(depth: int) -> None:
    top = 2**depth - 1
    row = bytes([0, int.from_bytes(bytes([top << (8 - depth)])), 0, 0, 0])
    data = png_by_hand(8, 2, bits=depth, raw=row[: 1 + depth] * 2)
    assert decode(data, "a.png", 1)[0, :2, 0].tolist() == [255, 0]


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes(kind: str, transparent: bool) -> None:
    indices = np.arange(240, dtype=np.uint8).reshape(12, 20) % 7
    palette = noise(4, 1, 7, 3)[0]
    image = Image.fromarray(indices)
    image.putpalette(palette.tobytes())
    data = encode(image, kind, **({"transparency": 3} if transparent else {}))
    if transparent:
        palette[3] = 255
    assert np.array_equal(decode(data, "a", 3), palette[indices])


def test_a_palette_may_have_an_alpha_for_each_entry() -> None:
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    image = Image.fromarray(indices)
    image.putpalette(bytes([200, 0, 0] * 4))
    data = encode(image, transparency=bytes([0, 51, 204, 255]))
    colours = on_white(np.array([[200, 0, 0]] * 4), np.array([[0], [51], [204], [255]]))
    assert np.abs(decode(data, "a.png", 3).astype(int) - colours[indices]).max() <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("pixels", [GRAY, COLOUR], ids=["LA", "RGBA"])
def test_transparency_is_laid_on_white(pixels: Pixels, kind: str, channels: int) -> None:
    alpha = noise(5, 12, 20, 1)
    alpha[0, 0], alpha[0, 1] = 0, 255
    found = decode(encode(np.concatenate([pixels, alpha], axis=2), kind), "a", channels)
    wanted = on_white(as_rgb(pixels), alpha).astype(int)
    if channels == 1:
        wanted = wanted @ np.array([[0.299], [0.587], [0.114]])
    assert np.abs(found - wanted).max() <= 1.5
    assert (found[0, 0] == 255).all()


@pytest.mark.parametrize(
    ("colour", "bits", "pixel", "key"),
    [(0, 8, b"\x55", 0x55), (0, 16, b"\x12\x34", 0x1234), (0, 1, b"\0", 0)],
)
def test_a_gray_value_may_stand_for_nothing(colour: int, bits: int, pixel: bytes, key: int) -> None:
    mark = chunk(b"tRNS", struct.pack(">H", key))
    row = b"\0" + (pixel * 4 if bits > 1 else b"\0")
    data = png_by_hand(4, 2, mark, bits=bits, colour=colour, raw=row * 2)
    assert (decode(data, "a.png", 3) == 255).all()
    without = png_by_hand(4, 2, bits=bits, colour=colour, raw=row * 2)
    assert (decode(without, "a.png", 3) == pixel[0]).all()


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_printing_and_video_colours(mode: str) -> None:
    data = encode(picture(BLOCKS).convert(mode), "JPEG", quality=100, subsampling=0)
    assert np.abs(decode(data, "a.jpg", 3).astype(int) - BLOCKS).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_keep_full_scale(kind: str) -> None:
    levels = np.array([[0, 255, 257, 32768], [65535, 514, 128, 129]], np.uint16)
    found = decode(encode(Image.fromarray(levels), kind), "a", 1)[..., 0]
    assert found.tolist() == [[0, 1, 1, 128], [255, 2, 0, 1]]


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_files_are_read_at_their_own_scale(top: float) -> None:
    levels = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    found = decode(encode(Image.fromarray(levels * np.float32(top)), "TIFF"), "a.tif", 1)
    assert np.abs(found[..., 0] - levels * 255).max() <= 0.51


@pytest.mark.parametrize("level", [np.nan, np.inf, -1.0, 1e6])
def test_float_files_that_are_no_images_are_bad(level: float) -> None:
    data = encode(Image.fromarray(np.full((4, 4), level, np.float32)), "TIFF")
    with pytest.raises(BadImageError, match="pixel values"):
        decode(data, "a.tif", 3)


def stored_as(upright: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Where EXIF 2.32, Section 4.6.4.A says that row 0 and column 0 of the picture are stored."""
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(turned[orientation])


def exif(orientation: Any) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_rotated_files_come_out_upright(kind: str, orientation: int) -> None:
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
    }
    stored = stored_as(BLOCKS, orientation)
    data = encode(stored, kind, exif=exif(orientation), **options.get(kind, {}))
    assert np.abs(decode(data, "a", 3).astype(int) - BLOCKS).max() <= 4
    header = read_header(io.BytesIO(data), "a")
    assert (header.height, header.width) == BLOCKS.shape[:2]


def test_rotation_keeps_sixteen_bits_and_palettes() -> None:
    deep = noise(6, 4, 6, 1)[..., 0].astype(np.uint16) * 257
    data = encode(Image.fromarray(stored_as(deep, 6)), exif=exif(6))
    assert np.array_equal(decode(data, "a.png", 1)[..., 0], deep // 257)
    flat = Image.fromarray(stored_as(np.arange(24, dtype=np.uint8).reshape(4, 6), 8))
    flat.putpalette(noise(7, 1, 24, 3).tobytes())
    data = encode(flat, exif=exif(8))
    assert np.array_equal(decode(data, "a.png", 3), noise(7, 1, 24, 3)[0].reshape(4, 6, 3))


DAMAGED = [b"no such thing", b"II*\0", b"II*\0\x08\0\0\0\x05\0"]


@pytest.mark.parametrize("tags", [exif(9), exif(0), *(b"Exif\0\0" + tags for tags in DAMAGED)])
def test_damaged_exif_costs_no_picture(tags: Any) -> None:
    """Not even through Pillow's warnings, which are errors in these tests."""
    data = encode(COLOUR, exif=tags)
    assert np.array_equal(decode(data, "a.png", 3), COLOUR)
    header = read_header(io.BytesIO(data), "a.png")
    assert (header.width, header.height) == (20, 12)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animations_show_their_first_frame(kind: str) -> None:
    frames = [picture(np.full((6, 8, 3), level, np.uint8)) for level in (40, 200)]
    options = {"WEBP": {"lossless": True}}.get(kind, {})
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (decode(data, "a", 3) == 40).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "<u2", ">u2", "f4"])
def test_the_header_tells_the_shape_and_the_channels(mode: str) -> None:
    """Modes of Pillow, or types of deep gray files, of either order of the bytes."""
    deep = mode[-1].isdigit() and len(mode) > 1
    image = Image.fromarray(GRAY[..., 0].astype(mode)) if deep else picture(COLOUR).convert(mode)
    data = encode(image, "TIFF")
    header = read_header(io.BytesIO(data), "a.tif")
    found = decode(data, "a.tif", 3)
    assert (header.height, header.width) == found.shape[:2]
    assert header.channels == (1 if (found == found[..., :1]).all() else 3)


def test_the_header_of_a_png_is_read_without_its_pixels() -> None:
    data = encode(COLOUR)[:200]
    assert read_header(io.BytesIO(data), "a.png").width == 20
    with pytest.raises(BadImageError, match="truncated or damaged"):
        decode(data, "a.png", 3)


BAD = {
    "empty": (b"", "a.jpg", "empty file"),
    "text": (b"dear diary, today\n" * 30, "a.jpg", "not an image"),
    "zeros": (bytes(5000), "a.png", "not an image"),
    "pdf": (b"%PDF-1.7\n" + bytes(99), "a.png", "not an image"),
    "mislabelled": (encode(COLOUR), "a.JPG", "mislabelled: named .jpg but holds PNG"),
    "truncated png": (encode(COLOUR)[:-300], "a.png", "truncated or damaged"),
    "truncated jpeg": (encode(COLOUR, "JPEG")[:-90], "a.jpg", "truncated or damaged"),
    "truncated bmp": (encode(COLOUR, "BMP")[:-90], "a.bmp", "truncated or damaged"),
    "bomb": (png_by_hand(2**31 - 1, 2**31 - 1), "a.png", "decompression bomb"),
    "smaller bomb": (png_by_hand(12_000, 12_000), "a.png", "decompression bomb: 12000x12000"),
    "line": (png_by_hand(1, 40, raw=bytes(80)), "a.png", "absurd size: 1x40"),
    "ribbon": (png_by_hand(2, 130, raw=bytes(390)), "a.png", "absurd size: 2x130"),
    "program": (encode(COLOUR, "EPS"), "a.eps", "PostScript"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_have_a_reason(case: str) -> None:
    data, name, reason = BAD[case]
    with pytest.raises(BadImageError, match=reason):
        decode(data, name, 3)


def test_names_that_say_the_same_are_not_mislabelled() -> None:
    several = encode(BLOCKS, "MPO", save_all=True, append_images=[picture(BLOCKS)])
    for data, name in ((several, "a.jpg"), (encode(BLOCKS, "BMP"), "a.dib")):
        assert decode(data, name, 3).shape == BLOCKS.shape
    assert decode(encode(COLOUR), "without a suffix", 3).shape == COLOUR.shape


def test_an_icon_cannot_smuggle_in_an_absurd_picture() -> None:
    inner = png_by_hand(1, 900, raw=bytes(1800))
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(inner), 22)
    data = struct.pack("<HHH", 0, 1, 1) + entry + inner
    with pytest.raises(BadImageError, match="absurd size: 1x900"):
        decode(data, "a.ico", 3)


def test_pillow_images_are_taken_as_they_are() -> None:
    assert np.array_equal(from_pillow(picture(COLOUR), 3), COLOUR)
    assert np.array_equal(from_pillow(picture(GRAY), 3), as_rgb(GRAY))


SEEDS = [
    encode(noise(8, 20, 30, 3)),
    encode(noise(8, 20, 30, 1)),
    encode(noise(8, 20, 30, 4)),
    encode(BLOCKS, "JPEG", exif=exif(6)),
    encode(picture(BLOCKS).convert("CMYK"), "JPEG"),
    encode(BLOCKS, "GIF", save_all=True, append_images=[picture(COLOUR)]),
    encode(BLOCKS, "WEBP", exif=exif(6)),
    encode(BLOCKS, "TIFF", compression="tiff_lzw", exif=exif(8)),
    encode(Image.fromarray(noise(8, 20, 30, 1)[..., 0].astype(np.float32)), "TIFF"),
    encode(COLOUR, "BMP"),
    encode(COLOUR, "ICO"),
    encode(COLOUR, "TGA"),
    encode(COLOUR, "PPM"),
    encode(BLOCKS, "JPEG2000"),
    zlib.compress(bytes(100)),
]
FLIPS = st.lists(st.tuples(st.integers(0, 2**20), st.integers(1, 255)), max_size=6)


def outcome(function: Callable[..., Any], *arguments: object) -> Any:
    """What a function returns, or the words of its BadImageError."""
    try:
        return function(*arguments)
    except BadImageError as error:
        return str(error)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(SEEDS), FLIPS, st.floats(0, 1), st.booleans())
def test_hostile_bytes_give_pixels_or_a_reason(
    data: bytes, flips: list[tuple[int, int]], share: float, cut: bool
) -> None:
    hostile = bytearray(data[: round(share * len(data))] if cut else data)
    for place, change in flips:
        if hostile:
            # Half of the flips go to the first bytes, where the headers are.
            hostile[place % (len(hostile) if place % 2 else min(len(hostile), 64))] ^= change
    for channels in (1, 3):
        found = outcome(decode, bytes(hostile), "a", channels)
        if isinstance(found, str):
            assert len(found) > 5
        else:
            assert found.dtype == np.uint8
            assert found.shape[2:] == (channels,)
            assert min(found.shape[:2]) >= 2
    header = outcome(read_header, io.BytesIO(bytes(hostile)), "a")
    assert isinstance(header, str) or header.channels in (1, 3)
