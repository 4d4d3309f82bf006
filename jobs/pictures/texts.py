"""Texts as pictures: sheets of openings, and histograms of lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from jobs.pictures.style import (
    BLUE,
    GREEN,
    INK,
    LINES,
    MUTED,
    PAPER,
    RED,
    dress,
    figure_png,
    font,
    image_png,
    new_figure,
)

_WIDTH = 900
_MARGIN = 18
_LINE = 19
_BINS = 30
_WIDE = 50
"""Ratio of the largest to the smallest value from which the axis is logarithmic."""


def text_sheet(groups: Mapping[str, Sequence[tuple[str, str]]], title: str) -> bytes:
    """The openings of texts under the names of their groups; each with a detail in small print.

    Args:
        groups: name to (opening, detail); `kept` is shown in green, all else in red.
    """
    lines = sum(1 + len(rows) for rows in groups.values())
    sheet = Image.new("RGB", (_WIDTH, 3 * _MARGIN + _LINE * (lines + len(groups)) + 8), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((_MARGIN, _MARGIN - 6), title, INK, font(15))
    y = 2 * _MARGIN + 4
    for name, rows in groups.items():
        pen.line((_MARGIN, y, _WIDTH - _MARGIN, y), LINES)
        pen.text((_MARGIN, y + 3), name, GREEN if name == "kept" else RED, font(13))
        y += _LINE + 3
        for opening, detail in rows:
            room = _WIDTH - 3 * _MARGIN - pen.textlength(detail, font(11))
            pen.text((2 * _MARGIN, y), _cut(pen, opening, room), INK, font(12))
            pen.text((_WIDTH - _MARGIN, y + 1), detail, MUTED, font(11), anchor="ra")
            y += _LINE
        y += _LINE - 3
    return image_png(sheet)


def histogram(values: npt.NDArray[np.generic], title: str, unit: str) -> bytes:
    """How often values of each size occur; on a logarithmic axis where they span powers of ten."""
    numbers = np.asarray(values, np.float64)
    low, high = float(numbers.min()), float(numbers.max())
    logarithmic = low > 0 and high / low > _WIDE
    high = high if high > low else low + 1
    edges = np.geomspace(low, high, _BINS) if logarithmic else np.linspace(low, high, _BINS)
    figure = new_figure(7.6, 2.8)
    axes = figure.add_subplot()
    axes.hist(numbers, list(edges), color=BLUE, rwidth=0.92)
    if logarithmic:
        axes.set_xscale("log")
    dress(axes, title)
    axes.set_xlabel(unit, fontsize=9)
    axes.grid(axis="y", color=LINES, linewidth=0.8)
    return figure_png(figure)


def _cut(pen: ImageDraw.ImageDraw, text: str, room: float) -> str:
    """As much of a text as there is room for."""
    if pen.textlength(text, font(12)) <= room:
        return text
    while text and pen.textlength(f"{text} …", font(12)) > room:
        text = text[:-4]
    return f"{text.rstrip()} …"
