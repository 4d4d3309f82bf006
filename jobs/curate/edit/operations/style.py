"""A whole picture in another style, by Pillow and OpenCV: from greyscale to a cartoon."""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from jobs.scenes.editing.edit import say

_SEPIA = (
    *(0.393, 0.769, 0.189, 0.0),
    *(0.349, 0.686, 0.168, 0.0),
    *(0.272, 0.534, 0.131, 0.0),
)
_CELLS = 40
_PIXEL_COLORS = 24


def restyle(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """The picture in another style, and the instruction."""
    make, *wordings = rng.choice(_STYLES)
    return make(image), say(rng, *wordings)


def grayscale(image: Image.Image) -> Image.Image:
    """Without colours."""
    return image.convert("L").convert("RGB")


def sepia(image: Image.Image) -> Image.Image:
    """In the browns of an old photograph."""
    return image.convert("RGB", _SEPIA)


def pencil(image: Image.Image) -> Image.Image:
    """As a grey pencil sketch."""
    gray, _ = cv2.pencilSketch(_bgr(image), sigma_s=40, sigma_r=0.07, shade_factor=0.06)
    return Image.fromarray(gray).convert("RGB")


def painting(image: Image.Image) -> Image.Image:
    """Patches of even colour without fine detail."""
    return _rgb(cv2.pyrMeanShiftFiltering(_bgr(image), sp=10, sr=32))


def inked(image: Image.Image) -> Image.Image:
    """Soft colours within dark, uneven outlines."""
    return _rgb(cv2.stylization(_bgr(image), sigma_s=50, sigma_r=0.5))


def cartoon(image: Image.Image) -> Image.Image:
    """Flat colours with black lines around them."""
    flat = cv2.pyrMeanShiftFiltering(_bgr(image), sp=8, sr=24)
    gray = cv2.medianBlur(cv2.cvtColor(flat, cv2.COLOR_BGR2GRAY), 7)
    reach = max(9, min(image.size) // 40 | 1)
    lines = cv2.adaptiveThreshold(gray, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, reach, 7)
    steps = np.asarray(np.rint(flat / 36.43) * 36.43, np.uint8)  # eight levels, black and white among them
    return _rgb(cv2.bitwise_and(steps, steps, mask=lines))


def pixel_art(image: Image.Image) -> Image.Image:
    """Large pixels of few colours."""
    scale = _CELLS / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    small = image.resize((width, height), Image.Resampling.BOX)
    few = small.quantize(_PIXEL_COLORS, dither=Image.Dither.NONE).convert("RGB")
    return few.resize(image.size, Image.Resampling.NEAREST)


def poster(image: Image.Image) -> Image.Image:
    """Four levels of each colour, black and white among them."""
    return image.point([round(value / 85) * 85 for value in range(256)] * 3)


_STYLES: list[tuple[Callable[[Image.Image], Image.Image], *tuple[str, ...]]] = [
    (grayscale, "Make the picture black and white", "Turn the picture grayscale", "Remove all color"),
    (sepia, "Make it look like an old sepia photograph", "Give the picture a sepia tone"),
    (pencil, "Turn the picture into a pencil sketch", "Make it look like a pencil drawing"),
    (painting, "Turn the picture into a painting", "Make it look like a soft painting"),
    (inked, "Turn the picture into an ink drawing with colors", "Draw dark ink outlines around everything"),
    (cartoon, "Turn the picture into a cartoon", "Draw this as a cartoon"),
    (pixel_art, "Turn the picture into pixel art", "Make it look like pixel art"),
    (poster, "Posterize the picture", "Turn the picture into a poster with few flat colors"),
]


def _bgr(image: Image.Image) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR), np.uint8)


def _rgb(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Image.Image:
    return Image.fromarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
