"""Many images on one sheet: curated pictures, reconstructions, samples by prompt."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from jobs.pictures.style import GREEN, INK, LINES, MUTED, PAPER, RED, font, image_png

Images = Sequence[Image.Image]

_GAP = 8
_MARGIN = 14
_LABEL_SIZE = 12
_LABEL_LINES = 3
_LINE_HEIGHT = 15
_TITLE_SIZE = 16
_TITLE_HEIGHT = 30
_SIDE_WIDTH = 150
_LONG_GRID = 10


@dataclass(frozen=True)
class SampleRow:
    """The images of one prompt, and for each whether it is right; None where that is not judged."""

    prompt: str
    images: Images
    passed: Sequence[bool | None]


def contact_sheet(
    images: Images, labels: Sequence[str], columns: int = 6, cell: int = 128, title: str = ""
) -> bytes:
    """Images in rows, each over its label.

    Raises:
        ValueError: there are not as many labels as images.
    """
    _check_equal("labels", len(labels), len(images))
    columns = max(1, min(columns, len(images)))
    pitch_x, pitch_y = cell + _GAP, cell + _LABEL_LINES * _LINE_HEIGHT + _GAP
    sheet, top = _new_sheet(columns * pitch_x, math.ceil(len(images) / columns) * pitch_y, title)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        row, column = divmod(number, columns)
        x, y = _MARGIN + column * pitch_x, top + row * pitch_y
        _paste(sheet, image, x, y, cell)
        _write(sheet, label, x, y + cell + 3, cell, _LABEL_LINES)
    return image_png(sheet)


def reconstruction_grid(
    originals: Images, reconstructions: Mapping[str, Images], cell: int = 96, title: str = ""
) -> bytes:
    """`reconstruction_sheet` as PNG."""
    return image_png(reconstruction_sheet(originals, reconstructions, cell, title))


def reconstruction_sheet(
    originals: Images, reconstructions: Mapping[str, Images], cell: int = 96, title: str = ""
) -> Image.Image:
    """The originals in the first row, and below them a row for each way to reconstruct them.

    Raises:
        ValueError: a row has not as many images as there are originals.
    """
    rows = {"originals": originals, **reconstructions}
    for name, images in reconstructions.items():
        _check_equal(f"images in {name!r}", len(images), len(originals))
    pitch = cell + _GAP
    sheet, top = _new_sheet(_SIDE_WIDTH + len(originals) * pitch, len(rows) * pitch, title)
    for row, (name, images) in enumerate(rows.items()):
        y = top + row * pitch
        _write(sheet, name, _MARGIN, y + cell // 2 - _LINE_HEIGHT, _SIDE_WIDTH - _GAP, 2)
        for column, image in enumerate(images):
            _paste(sheet, image, _MARGIN + _SIDE_WIDTH + column * pitch, y, cell)
    return sheet


def sample_grid(rows: Sequence[SampleRow], cell: int = 96, title: str = "") -> bytes:
    """`sample_sheet` as PNG."""
    return image_png(sample_sheet(rows, cell, title))


def sample_sheet(rows: Sequence[SampleRow], cell: int = 96, title: str = "") -> Image.Image:
    """A row per prompt: its text, how many images are right, and the images with their marks.

    Raises:
        ValueError: a row has not as many marks as images.
    """
    for row in rows:
        _check_equal(f"marks of {row.prompt!r}", len(row.passed), len(row.images))
    per_block = math.ceil(len(rows) / 2) if len(rows) > _LONG_GRID else max(1, len(rows))
    pitch = cell + _GAP
    block = _SIDE_WIDTH + max((len(row.images) for row in rows), default=1) * pitch + 2 * _GAP
    sheet, top = _new_sheet(block * math.ceil(len(rows) / per_block), per_block * pitch, title)
    for number, row in enumerate(rows):
        column, line = divmod(number, per_block)
        _draw_row(sheet, row, _MARGIN + column * block, top + line * pitch, cell)
    return sheet


def _draw_row(sheet: Image.Image, row: SampleRow, x: int, y: int, cell: int) -> None:
    below = _write(sheet, row.prompt, x, y + 4, _SIDE_WIDTH - _GAP, 4)
    judged = [passed for passed in row.passed if passed is not None]
    if judged:
        _write(sheet, f"{sum(judged)} of {len(judged)} right", x, below + 2, _SIDE_WIDTH, 1, MUTED)
    for number, (image, passed) in enumerate(zip(row.images, row.passed, strict=True)):
        left = x + _SIDE_WIDTH + number * (cell + _GAP)
        _paste(sheet, image, left, y, cell)
        if passed is not None:
            _mark(sheet, passed, left, y, cell)


def _check_equal(what: str, found: int, wanted: int) -> None:
    if found != wanted:
        raise ValueError(f"{found} {what} for {wanted} images")


def _new_sheet(width: int, height: int, title: str) -> tuple[Image.Image, int]:
    """An empty sheet around content of this size, and the y where the content begins."""
    top = _MARGIN + (_TITLE_HEIGHT if title else 0)
    heading = font(_TITLE_SIZE)
    width = max(width, math.ceil(heading.getlength(title)))
    sheet = Image.new("RGB", (width - _GAP + 2 * _MARGIN, top + height - _GAP + _MARGIN), PAPER)
    if title:
        ImageDraw.Draw(sheet).text((_MARGIN, _MARGIN - 3), title, INK, heading)
    return sheet, top


def _paste(sheet: Image.Image, image: Image.Image, x: int, y: int, cell: int) -> None:
    """Put an image in the middle of a cell, as large as fits, with a hairline around it."""
    scale = cell / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    resized = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    left, top = x + (cell - size[0]) // 2, y + (cell - size[1]) // 2
    sheet.paste(resized, (left, top))
    ImageDraw.Draw(sheet).rectangle((left - 1, top - 1, left + size[0], top + size[1]), outline=LINES)


def _mark(sheet: Image.Image, passed: bool, x: int, y: int, cell: int) -> None:
    """A coloured frame, and a tick or a cross in the corner for those who do not see the colour."""
    pen = ImageDraw.Draw(sheet)
    color = GREEN if passed else RED
    pen.rectangle((x - 2, y - 2, x + cell + 1, y + cell + 1), outline=color, width=2)
    corner = (x + cell - 13, y + cell - 13, x + cell + 1, y + cell + 1)
    pen.rectangle(corner, fill=color)
    middle = ((corner[0] + corner[2]) / 2, (corner[1] + corner[3]) / 2)
    pen.text(middle, "\N{CHECK MARK}" if passed else "\N{BALLOT X}", PAPER, font(11), anchor="mm")


def _write(sheet: Image.Image, text: str, x: int, y: int, width: int, lines: int, color: str = INK) -> int:
    """Write text in at most so many lines of a width; return the y below it."""
    pen, face = ImageDraw.Draw(sheet), font(_LABEL_SIZE)
    for line in _wrap(text, face, width, lines):
        pen.text((x, y), line, color, face)
        y += _LINE_HEIGHT
    return y


def _wrap(text: str, face: ImageFont.FreeTypeFont, width: int, lines: int) -> list[str]:
    """Break text at spaces into lines that fit; what does not fit ends in an ellipsis."""
    wrapped: list[str] = []
    words = text.split()
    while words and len(wrapped) < lines:
        fitting = 1
        while fitting < len(words) and face.getlength(" ".join(words[: fitting + 1])) <= width:
            fitting += 1
        wrapped.append(" ".join(words[:fitting]))
        words = words[fitting:]
    if words:
        wrapped[-1] += " …"
    return [_shorten(line, face, width) for line in wrapped]


def _shorten(line: str, face: ImageFont.FreeTypeFont, width: int) -> str:
    if face.getlength(line) <= width:
        return line
    end = len(line)
    while end > 1 and face.getlength(line[:end].rstrip(" …") + "…") > width:
        end -= 1
    return line[:end].rstrip(" …") + "…"
