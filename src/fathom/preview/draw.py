"""A contact sheet of a preview, drawn with Pillow: a row an image, the evaluated view first."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image, ImageDraw, ImageFont

from fathom.data.views import to_image
from fathom.preview.looks import Look
from fathom.preview.sheet import Row, Sheet

_CELL = 128  # pixels that small pictures are enlarged to, about
_LARGEST = 256  # pixels that large ones are reduced to
_MARGIN, _GAP, _LINE = 28, 14, 19
_PAPER, _INK, _QUIET, _RULE = "#ffffff", "#1b1f24", "#68707a", "#d5d9de"
_TITLE, _BODY, _SMALL = (ImageFont.load_default(size) for size in (26, 16, 14))

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw(sheet: Sheet) -> Image.Image:
    """The sheet as an RGB picture.

    Pictures up to 128 pixels are enlarged by a whole factor, every pixel a square, to about that
    size; those above 256 pixels are reduced to it.
    """
    largest = max(p.picture.shape[0] for r in sheet.rows for p in (r.original, r.draws[0]))
    cell = _size(largest, largest)
    columns = 1 + len(sheet.rows[0].draws)
    left = [_MARGIN + n * (cell + _GAP) + (_GAP if n else 0) for n in range(columns)]
    captions = [_captions(row, cell, labelled=sheet.labelled) for row in sheet.rows]
    pitch = cell + 18 + _LINE * max(len(lines) for row in captions for lines in row)
    width = left[-1] + cell + _MARGIN
    heading = list(_wrapped(f"Random: {'; '.join(sheet.random)}.", width - 2 * _MARGIN))
    top = _MARGIN + 52 + _LINE * len(heading)
    page = Image.new("RGB", (width, top + _LINE + 8 + pitch * len(sheet.rows) + 10), _PAPER)
    pen = ImageDraw.Draw(page)
    title = f"{_plain(sheet.data)} in training, by the recipe {sheet.recipe.name}"
    pen.text((_MARGIN, _MARGIN - 6), _short(title, width - 2 * _MARGIN, _TITLE), _INK, _TITLE)
    for number, line in enumerate(heading):
        pen.text((_MARGIN, _MARGIN + 36 + number * _LINE), line, _QUIET, _BODY)
    for x, head in zip(left, ("evaluated", "in training"), strict=False):
        pen.text((x, top), _short(head, cell, _SMALL), _QUIET, _SMALL)
    top += _LINE + 8
    rule = left[1] - _GAP
    pen.line((rule, top, rule, top + pitch * len(sheet.rows) - 18), _RULE)
    for row, texts in zip(sheet.rows, captions, strict=True):
        for x, look, lines in zip(left, (row.original, *row.draws), texts, strict=True):
            _paste(page, look, (x, top), cell, largest)
            for number, (line, colour) in enumerate(lines):
                pen.text((x, top + cell + 4 + number * _LINE), line, colour, _SMALL)
        top += pitch
    return page


def _captions(row: Row, width: int, *, labelled: bool) -> list[list[tuple[str, str]]]:
    """The lines below each picture of a row, with their colours.

    The file's name stands below the original; a label, too, where there is one, or below a draw
    where two images are mixed.
    """
    label = [(line, _INK) for line in _lines(row.original, width)] if labelled else []
    captions = [[*label, (_short(_plain(row.name), width, _SMALL), _QUIET)]]
    for look in row.draws:
        said = labelled or len(look.shares) > 1
        captions.append([(line, _INK) for line in _lines(look, width)] if said else [])
    return captions


def _size(side: int, largest: int) -> int:
    """The drawn side of a picture, all on one scale: a whole factor, or a part of large ones."""
    if largest > _LARGEST:
        return round(side * _LARGEST / largest)
    return side * max(1, round(_CELL / largest))


def _paste(page: Image.Image, look: Look, place: tuple[int, int], cell: int, largest: int) -> None:
    """One picture in the middle of its cell."""
    picture = to_image(look.picture)
    size = _size(picture.width, largest)
    way = Image.Resampling.LANCZOS if size < picture.width else Image.Resampling.NEAREST
    rest = (cell - size) // 2
    page.paste(picture.resize((size, size), way).convert("RGB"), (place[0] + rest, place[1] + rest))


def _lines(look: Look, width: int) -> list[str]:
    """A label: `cat`, or `0.7 cat + 0.3 dog` on one line or two; names are cut to fit."""
    shares = [(_plain(name), round(share, 2)) for name, share in look.shares if share >= 0.005]
    if len(shares) == 1:
        return [_short(shares[0][0], width, _SMALL)]
    parts = [f"{share:g} {name}" for name, share in shares]
    whole = " + ".join(parts)
    if _SMALL.getlength(whole) <= width:
        return [whole]
    first, *others = parts
    return [_short(f"{first} +", width, _SMALL), _short(" + ".join(others), width, _SMALL)]


def _short(text: str, width: float, font: Font) -> str:
    """Text cut in its middle until it fits."""
    if font.getlength(text) <= width:
        return text
    kept = next(
        (n for n in range(len(text) - 1, 1, -1) if font.getlength(_cut(text, n)) <= width), 1
    )
    return _cut(text, kept)


def _cut(text: str, kept: int) -> str:
    """So many characters of a text, its beginning and its end, with an ellipsis between."""
    return f"{text[: (kept + 1) // 2]}…{text[len(text) - kept // 2 :]}"


def _wrapped(text: str, width: float) -> Iterator[str]:
    """Lines of whole words that fit."""
    line: list[str] = []
    for word in text.split(" "):
        if line and _BODY.getlength(" ".join([*line, word])) > width:
            yield " ".join(line)
            line = []
        line.append(word)
    yield " ".join(line)


def _plain(text: str) -> str:
    """Text that can be drawn: file names need not be UTF-8."""
    return text.encode(errors="backslashreplace").decode()
