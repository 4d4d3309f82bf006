"""What a picture measures: the scores that thresholds and duplicate search work on.

All but the size is measured on a copy of at most 256 pixels a side, so scores do not depend on
resolution much and cost the same for every picture. Nothing is judged here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

SCORE_SIDE = 256
"""Longer side, in pixels, of the copy that is measured. Smaller pictures are not enlarged."""

COLOUR_SIDE = 8
THUMBNAIL_SIDE = 96
BORDER_TOLERANCE = 8
"""Steps of 0..255 by which a frame's pixels may differ from its corner's colour."""


@dataclass(frozen=True)
class Scores:
    """Measurements of one picture.

    `entropy` is in bits, `sharpness` the variance of the luminance's Laplacian, `border` the share of
    the area outside the smallest box that holds everything unlike the corner. `perceptual_hash` has
    64 bits; `colours` are 8x8 RGB bytes, `thumbnail` is a small JPEG.
    """

    width: int
    height: int
    entropy: float
    sharpness: float
    border: float
    perceptual_hash: int
    colours: bytes
    thumbnail: bytes


def measure(picture: Image.Image) -> Scores:
    """Measure an RGB picture."""
    small = picture.copy()
    small.thumbnail((SCORE_SIDE, SCORE_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    grey = small.convert("L")
    return Scores(
        width=picture.width,
        height=picture.height,
        entropy=float(grey.entropy()),
        sharpness=float(cv2.Laplacian(np.asarray(grey, np.float32), cv2.CV_32F).var()),
        border=_border(np.asarray(small, np.int16)),
        perceptual_hash=int(str(imagehash.phash(grey)), 16),
        colours=small.resize((COLOUR_SIDE, COLOUR_SIDE), Image.Resampling.BOX).tobytes(),
        thumbnail=_thumbnail(small),
    )


def _border(pixels_hwc: npt.NDArray[np.int16]) -> float:
    """Share of the area outside the box around all that differs from the top left corner."""
    differs_hw = (np.abs(pixels_hwc - pixels_hwc[0, 0]) > BORDER_TOLERANCE).any(axis=2)
    rows, columns = np.flatnonzero(differs_hw.any(axis=1)), np.flatnonzero(differs_hw.any(axis=0))
    if not len(rows):
        return 1.0
    inside = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(1 - inside / differs_hw.size)


def _thumbnail(picture: Image.Image) -> bytes:
    copy = picture.copy()
    copy.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
