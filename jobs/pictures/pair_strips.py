"""Pairs of pictures: the one that is shown, the one that is to be drawn, and what is said of them."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from jobs.pictures.style import INK, LINES, MUTED, PAPER, font, image_png

_CELL = 68
_ARROW = 30
_GAP = 12
_MARGIN = 14
_TEXT_WIDTH = 190
_CHARACTERS = 27
_TEXT_LINES = 3
_LINE_HEIGHT = 15
_TITLE_HEIGHT = 30
_COLUMNS = 2
_BLOCK = 2 * _CELL + _ARROW + _GAP + _TEXT_WIDTH


@dataclass(frozen=True)
class PairStrip:
    """Two pictures, a mark of a few words, and a text."""

    reference: Image.Image
    target: Image.Image
    mark: str
    text: str


def pair_strips(pairs: Sequence[PairStrip], title: str) -> bytes:
    """Pairs in two columns, row by row."""
    columns = max(1, min(_COLUMNS, len(pairs)))
    rows = math.ceil(len(pairs) / columns)
    width = 2 * _MARGIN + max(columns * (_BLOCK + _GAP) - _GAP, math.ceil(font(16).getlength(title)))
    height = 2 * _MARGIN + _TITLE_HEIGHT + max(1, rows) * (_CELL + _GAP) - _GAP
    sheet = Image.new("RGB", (width, height), PAPER)
    ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN - 3), title, INK, font(16))
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * (_BLOCK + _GAP), _MARGIN + _TITLE_HEIGHT + row * (_CELL + _GAP)
        _draw(sheet, pair, x, y)
    return image_png(sheet)


def _draw(sheet: Image.Image, pair: PairStrip, x: int, y: int) -> None:
    pen = ImageDraw.Draw(sheet)
    _paste(sheet, pair.reference, x, y)
    middle, tip = y + _CELL // 2, x + _CELL + _ARROW - 8
    pen.line((x + _CELL + 8, middle, tip, middle), MUTED, 2)
    pen.polygon(((tip + 2, middle), (tip - 5, middle - 5), (tip - 5, middle + 5)), MUTED)
    _paste(sheet, pair.target, x + _CELL + _ARROW, y)
    left = x + 2 * _CELL + _ARROW + _GAP
    pen.text((left, y), pair.mark, MUTED, font(12))
    lines = textwrap.wrap(pair.text, _CHARACTERS, max_lines=_TEXT_LINES, placeholder=" …")
    for number, line in enumerate(lines, start=1):
        pen.text((left, y + number * _LINE_HEIGHT), line, INK, font(12))


def _paste(sheet: Image.Image, image: Image.Image, x: int, y: int) -> None:
    """Put a picture in the middle of a cell, as large as fits, with a hairline around it."""
    scale = _CELL / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    left, top = x + (_CELL - size[0]) // 2, y + (_CELL - size[1]) // 2
    sheet.paste(image.convert("RGB").resize(size, Image.Resampling.LANCZOS), (left, top))
    ImageDraw.Draw(sheet).rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=LINES)
