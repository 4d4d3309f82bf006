"""Edits for people to look at: the picture before, the instruction, the picture after."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from jobs.pictures.style import BLUE, INK, LINES, MUTED, PAPER, font, image_png

Images = Sequence[Image.Image]

_TARGET_BYTES = 100_000
_PALETTES = (None, 96, 40, 20, 10)
"""Colours of each picture, fewer until the sheet is small: words stay sharp where scaling would blur them."""

_MARGIN, _GAP, _COLUMN_GAP = 14, 10, 26
_TITLE_SIZE, _TITLE_HEIGHT = 16, 30
_TEXT_SIZE, _LINE_HEIGHT, _TEXT_WIDTH, _TEXT_COLUMNS = 12, 15, 152, 21
_NOTE_SIZE, _NOTE_LINES, _NOTE_COLUMNS = 11, 2, 56


@dataclass(frozen=True)
class EditStrip:
    """One edit. `note` says below it what became of it, such as its task or a judge's reason."""

    before: Image.Image
    instruction: str
    after: Image.Image
    note: str = ""


def edit_strips(strips: Sequence[EditStrip], title: str = "", columns: int = 2, cell: int = 96) -> bytes:
    """A sheet of edits, about 100 kB at most: `before`, the words with an arrow, `after`, and the note."""
    sheets = (_encode(strips, title, columns, cell, colours) for colours in _PALETTES)
    smallest = b""
    for sheet in sheets:
        smallest = sheet
        if len(sheet) <= _TARGET_BYTES:
            break
    return smallest


def _encode(strips: Sequence[EditStrip], title: str, columns: int, cell: int, colours: int | None) -> bytes:
    columns = max(1, min(columns, len(strips)))
    has_notes = any(strip.note for strip in strips)
    width = 2 * cell + _TEXT_WIDTH + 2 * _GAP
    height = cell + _GAP + (_NOTE_LINES * _LINE_HEIGHT if has_notes else 0)
    top = _MARGIN + (_TITLE_HEIGHT if title else 0)
    rows = math.ceil(len(strips) / columns)
    size = (2 * _MARGIN + columns * (width + _COLUMN_GAP) - _COLUMN_GAP, top + rows * height + _MARGIN)
    sheet = Image.new(
        "RGB", (max(size[0], 2 * _MARGIN + math.ceil(font(_TITLE_SIZE).getlength(title))), size[1]), PAPER
    )
    if title:
        ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN - 3), title, INK, font(_TITLE_SIZE))
    for number, strip in enumerate(strips):
        row, column = divmod(number, columns)
        _draw(sheet, strip, _MARGIN + column * (width + _COLUMN_GAP), top + row * height, cell, colours)
    return image_png(sheet)


def _draw(sheet: Image.Image, strip: EditStrip, x: int, y: int, cell: int, colours: int | None) -> None:
    pen = ImageDraw.Draw(sheet)
    words = x + cell + _GAP
    after = words + _TEXT_WIDTH + _GAP
    _paste(sheet, strip.before, x, y, cell, colours)
    _paste(sheet, strip.after, after, y, cell, colours)
    lines = _wrap(strip.instruction, _TEXT_COLUMNS, (cell - 14) // _LINE_HEIGHT)
    for number, line in enumerate(lines):
        pen.text((words, y + number * _LINE_HEIGHT), line, INK, font(_TEXT_SIZE))
    arrow = y + cell - 7
    pen.line((words, arrow, after - _GAP - 2, arrow), BLUE, 2)
    pen.polygon([(after - _GAP - 8, arrow - 5), (after - _GAP, arrow), (after - _GAP - 8, arrow + 5)], BLUE)
    for number, line in enumerate(_wrap(strip.note, _NOTE_COLUMNS, _NOTE_LINES)):
        pen.text((x, y + cell + 3 + number * (_LINE_HEIGHT - 2)), line, MUTED, font(_NOTE_SIZE))


def _paste(sheet: Image.Image, picture: Image.Image, x: int, y: int, cell: int, colours: int | None) -> None:
    """Put a picture in the middle of a cell, as large as fits, with a hairline around it."""
    scale = cell / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    resized = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    if colours is not None:
        resized = resized.quantize(colours, dither=Image.Dither.NONE).convert("RGB")
    left, top = x + (cell - size[0]) // 2, y + (cell - size[1]) // 2
    sheet.paste(resized, (left, top))
    ImageDraw.Draw(sheet).rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=LINES)


def _wrap(text: str, columns: int, lines: int) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), columns, max_lines=lines, placeholder=" …") if text else []
