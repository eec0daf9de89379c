"""A sheet as one picture, drawn with Pillow."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from fathom.data.decode import Pixels
from fathom.look import paint
from fathom.look.sheet import Sheet

_CELL, _TILE, _SMALLEST = 224, 104, 24  # pixels of a large picture, a map, a filter
_MARGIN, _GAP, _LINE = 28, 18, 19
_WIDTH = 2 * _MARGIN + 8 * _TILE + 7 * _GAP  # eight maps, or four large pictures
_PAPER, _INK, _QUIET = "#ffffff", "#1b1f24", "#68707a"
_TITLE, _HEAD, _SMALL = (ImageFont.load_default(size) for size in (26, 17, 14))

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class _Cell:
    """A picture, drawn side pixels large, with lines of text below."""

    pixels: Pixels
    lines: tuple[str, ...]
    side: int = _CELL


@dataclass(frozen=True)
class _Band:
    """A heading and a row of cells; cells that do not fit go to the next line."""

    heading: str
    cells: Sequence[_Cell]


def draw(sheet: Sheet, *, title: str) -> Image.Image:
    """The sheet as an RGB picture, a thousand pixels wide."""
    bands = [_answer(sheet), _inside(sheet), *_maps(sheet), *_patches(sheet)]
    rows = [(band, _rows(band.cells)) for band in bands]
    height = 2 * _MARGIN + 44
    height += sum(_LINE + 14 + sum(_height(row) for row in lines) for _, lines in rows)
    page = Image.new("RGB", (_WIDTH, height), _PAPER)
    pen = ImageDraw.Draw(page)
    pen.text(
        (_MARGIN, _MARGIN - 6), _short(_plain(title), _WIDTH - 2 * _MARGIN, _TITLE), _INK, _TITLE
    )
    top = _MARGIN + 44
    for band, lines in rows:
        pen.text((_MARGIN, top), _short(band.heading, _WIDTH - 2 * _MARGIN, _HEAD), _INK, _HEAD)
        top += _LINE + 14
        for row in lines:
            left = _MARGIN
            for cell in row:
                _put(page, pen, cell, (left, top))
                left += cell.side + _GAP
            top += _height(row)
    return page


def _answer(sheet: Sheet) -> _Band:
    """The picture with its prediction, and what speaks for the class."""
    name, found = _plain(sheet.class_names[sheet.target]), sheet.occlusion
    said = tuple(f"{chance:.1%} {_plain(one)}" for one, chance in sheet.top)
    lowest = float(found.probabilities.min())
    hidden = (
        f"Occlusion: {found.whole:.1%} {name}",
        f"{lowest:.1%} to {float(found.probabilities.max()):.1%} by the square's place",
        f"({found.changed} of {found.tops.numel()} change the answer)",
    )
    return _Band(
        f"What it says, and what speaks for {name}",
        (
            _Cell(paint.picture(sheet.view), said),
            _Cell(
                paint.spotlight(sheet.view, sheet.attention.heat),
                (f"Grad-CAM, stage {sheet.stage + 1}: {name}", *_attended(sheet)),
            ),
            _Cell(paint.ramp(found.probabilities / found.probabilities.max()), hidden),
            _Cell(
                paint.picture(found.covered(sheet.view, found.worst)),
                ("where the square costs most:", f"{lowest:.1%} {name}"),
            ),
        ),
    )


def _attended(sheet: Sheet) -> tuple[str, ...]:
    if sheet.attention.silent:
        return ("nothing in this stage speaks for it",)
    return (f"half of the heat on {sheet.attention.half:.0%} of the map",)


def _inside(sheet: Sheet) -> _Band:
    """First filters, and one activation put back to pixels beside what its unit sees."""
    count, _, height, width = sheet.filters.shape
    one = sheet.projection
    top, left, bottom, right = sheet.box
    where = f"stage {sheet.stage + 1}, channel {one.channel}"
    hint = () if one.switched else ("without max pooling it shows the", "channel, not the picture")
    return _Band(
        "Its first filters, and one activation back to the pixels",
        (
            _Cell(
                paint.tiles([paint.signed(kernel) for kernel in sheet.filters], side=_SMALLEST),
                (f"{count} filters of {height} x {width} pixels",),
            ),
            _Cell(
                paint.signed(one.pixels[:, top:bottom, left:right]),
                (f"deconvolution: {where}", f"its peak on this picture: {one.value:.3g}", *hint),
            ),
            _Cell(
                paint.picture(sheet.view[:, top:bottom, left:right]),
                (f"what that unit sees: {bottom - top} x {right - left}", "pixels of the view"),
            ),
        ),
    )


def _maps(sheet: Sheet) -> list[_Band]:
    bands = []
    for number, found in enumerate(sheet.maps, 1):
        height, width = found[0].values.shape
        cells = [
            _Cell(paint.light(one.values), (f"{one.channel}: {one.peak:.3g}",), _TILE)
            for one in found
        ]
        heading = f"Stage {number}, maps of {height} x {width}: channels with the highest peaks"
        bands.append(_Band(heading, cells))
    return bands


def _patches(sheet: Sheet) -> list[_Band]:
    if sheet.views is None:
        return []
    cells = []
    for patch in sheet.patches:
        top, left, bottom, right = patch.box
        pixels = paint.picture(sheet.views[patch.index][:, top:bottom, left:right])
        cells.append(_Cell(pixels, (f"{patch.value:.3g}",), _TILE))
    where = f"stage {sheet.stage + 1}, channel {sheet.projection.channel}"
    heading = f"What excites {where} most, among {len(sheet.views):,} pictures"
    return [_Band(heading if cells else f"Nothing excites {where} in the pictures given", cells)]


def _rows(cells: Sequence[_Cell]) -> list[list[_Cell]]:
    """Cells in lines that fit the page."""
    rows: list[list[_Cell]] = []
    left = _WIDTH
    for cell in cells:
        if left + cell.side > _WIDTH - _MARGIN:
            rows.append([])
            left = _MARGIN
        rows[-1].append(cell)
        left += cell.side + _GAP
    return rows


def _height(row: Sequence[_Cell]) -> int:
    return max(cell.side + 4 + _LINE * len(cell.lines) for cell in row) + 16


def _put(page: Image.Image, pen: ImageDraw.ImageDraw, cell: _Cell, place: tuple[int, int]) -> None:
    """One picture, its longer side as large as its cell, and its lines below."""
    height, width = cell.pixels.shape[:2]
    scale = cell.side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    way = Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.NEAREST
    page.paste(Image.fromarray(cell.pixels).resize(size, way), place)
    for number, line in enumerate(cell.lines):
        at = place[0], place[1] + cell.side + 4 + number * _LINE
        pen.text(at, _short(line, cell.side, _SMALL), _QUIET if number else _INK, _SMALL)


def _short(text: str, width: float, font: Font) -> str:
    """Text cut at its end until it fits."""
    if font.getlength(text) <= width:
        return text
    lengths = range(len(text))
    kept = bisect_right(lengths, width, key=lambda n: font.getlength(text[:n] + "…")) - 1
    return text[: max(0, kept)] + "…"


def _plain(text: str) -> str:
    """Text that can be drawn: file names need not be UTF-8."""
    return text.encode(errors="backslashreplace").decode()
