"""A word written in a picture, at a named place in a named colour, with Pillow's own font."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from jobs.curate.edit.operations.made import CannotEditError
from jobs.curate.edit.operations.names import Name
from jobs.scenes.editing.edit import say

COLORS = {
    "white": (255, 255, 255),
    "black": (0, 0, 0),
    "red": (214, 28, 36),
    "yellow": (255, 222, 33),
    "blue": (30, 72, 214),
    "green": (24, 140, 60),
}
WORDS = (
    "HELLO",
    "WELCOME",
    "SALE",
    "OPEN",
    "THANK YOU",
    "GOOD NIGHT",
    "SUMMER",
    "2024",
    "FRAGILE",
    "Hello!",
    "Be happy",
)
_PLACES = {
    "at the top": (0.5, 0.04, "mt"),
    "at the bottom": (0.5, 0.96, "mb"),
    "in the middle": (0.5, 0.5, "mm"),
    "in the top left corner": (0.04, 0.04, "lt"),
    "in the bottom right corner": (0.96, 0.96, "rb"),
}
_NAME_SHARE = 0.4
_CONTRAST = 90.0
"""Difference in luma, of 255, at which letters are easily read."""
_LEAST_HEIGHT = 12


def write(image: Image.Image, name: Name | None, rng: random.Random) -> tuple[Image.Image, str]:
    """The picture with a word on it, and the instruction.

    Raises:
        CannotEditError: `no_room`, the picture is too narrow for letters that can be read.
    """
    word = _word(name, rng)
    where, (x, y, anchor) = rng.choice(list(_PLACES.items()))
    face = _face(word, image.size, 0.5 if "corner" in where else 0.8)
    at = (x * image.width, y * image.height)
    after = image.copy()
    pen = ImageDraw.Draw(after)
    stroke = round(face.size / 40)
    box = pen.textbbox(at, word, face, anchor, stroke_width=stroke)
    color = _color(image, box, rng)
    pen.text(at, word, COLORS[color], face, anchor, stroke_width=stroke)
    text = say(
        rng,
        f'Write "{word}" {where} in {color}',
        f'Add the text "{word}" in {color} {where}',
        f'Put the words "{word}" {where}, in {color} letters'
        if " " in word
        else f'Put "{word}" {where} in {color}',
    )
    return after, text


def _word(name: Name | None, rng: random.Random) -> str:
    """What is written: the last word of the picture's name, or something that people write."""
    noun = name.definite.split()[-1] if name else ""
    if noun.isascii() and noun.isalpha() and rng.random() < _NAME_SHARE:
        return rng.choice((noun.upper(), noun.capitalize()))
    return rng.choice(WORDS)


def _face(word: str, size: tuple[int, int], width: float) -> ImageFont.FreeTypeFont:
    """A font with which the word has this share of the picture's width, and not too much of its height."""
    reference = _font(100)
    pixels = min(100 * width * size[0] / reference.getlength(word), 0.16 * size[1])
    if pixels < _LEAST_HEIGHT:
        raise CannotEditError("no_room", f"letters would be {pixels:.0f} pixels high")
    return _font(pixels)


def _font(pixels: float) -> ImageFont.FreeTypeFont:
    face = ImageFont.load_default(pixels)
    assert isinstance(face, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return face


def _color(image: Image.Image, box: tuple[float, float, float, float], rng: random.Random) -> str:
    """A colour that can be read on what is behind the word: much lighter or darker."""
    behind = np.asarray(image.convert("L").crop(box).resize((16, 4), Image.Resampling.BOX), np.float64)
    nearest = {name: float(np.abs(behind - _luma(rgb)).min()) for name, rgb in COLORS.items()}
    clear = [name for name, distance in nearest.items() if distance >= _CONTRAST]
    return rng.choice(clear) if clear else max(nearest, key=lambda name: nearest[name])


def _luma(color: tuple[int, int, int]) -> float:
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]
