"""What a picture measures: the scores that thresholds, duplicate search and a simple taste work on.

All but the size is measured on a copy of at most 256 pixels a side, so scores do not depend on
resolution much and cost the same for every picture. Sharpness depends most on how the copy was made:
that of a JPEG, which is decoded small, tends to be higher than that of the same pixels in another
format. Nothing is judged here.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.curate.frames import frame_share

Pixels = npt.NDArray[np.uint8]

SCORE_SIDE = 256
"""Longer side, in pixels, of the copy that is measured. Smaller pictures are not enlarged."""

COLOUR_SIDE = 8
THUMBNAIL_SIDE = 96
BORDER_TOLERANCE = 8
"""Steps of 0..255 by which a frame's pixels may differ from its corner's colour."""


_OPPONENTS = np.array([[1, -1, 0], [0.5, 0.5, -1]], np.float32)
"""Red against green and yellow against blue, from red, green and blue."""


@dataclass(frozen=True)
class Scores:
    """Measurements of one picture.

    `entropy` is in bits, `sharpness` the variance of the luminance's Laplacian, `contrast` the luminance's
    standard deviation in steps of 0..255, `colourfulness` Hasler and Süsstrunk's M3 (2003; 0 is grey, from
    about 80 a picture is highly colourful). `border` is the share of the area outside the smallest box that
    holds everything unlike the corner, `frame` that of bands along the sides (see `jobs.curate.frames`).
    `perceptual_hash` has 64 bits; `colours` are 8x8 RGB bytes, `thumbnail` is a small JPEG.
    """

    entropy: float
    sharpness: float
    contrast: float
    colourfulness: float
    border: float
    frame: float
    perceptual_hash: int
    colours: bytes
    thumbnail: bytes


def measure(picture: Image.Image) -> Scores:
    """Measure an RGB picture."""
    pixels_hwc = _scaled(picture, SCORE_SIDE)
    grey_hw = cv2.cvtColor(pixels_hwc, cv2.COLOR_RGB2GRAY)
    return Scores(
        entropy=_entropy(grey_hw),
        sharpness=_spread(cv2.Laplacian(grey_hw, cv2.CV_16S)) ** 2,
        contrast=_spread(grey_hw),
        colourfulness=_colourfulness(pixels_hwc),
        border=_border(pixels_hwc),
        frame=frame_share(pixels_hwc),
        perceptual_hash=int(str(imagehash.phash(Image.fromarray(grey_hw))), 16),
        colours=cv2.resize(pixels_hwc, (COLOUR_SIDE, COLOUR_SIDE), interpolation=cv2.INTER_AREA).tobytes(),
        thumbnail=_thumbnail(pixels_hwc),
    )


def _scaled(picture: Image.Image, side: int) -> Pixels:
    """A picture scaled down to `side` pixels a side at most; blocks of pixels are averaged first."""
    factor = max(picture.size) // side
    return _fit(np.asarray(picture.reduce(factor) if factor > 1 else picture), side)


def _fit(pixels_hwc: Pixels, side: int) -> Pixels:
    """Pixels scaled down to `side` a side at most."""
    height, width = pixels_hwc.shape[:2]
    share = side / max(height, width)
    if share >= 1:
        return pixels_hwc
    size = (max(1, round(width * share)), max(1, round(height * share)))
    # Two neighbours in each direction, which is faster, see all that there is to average only near full size.
    way = cv2.INTER_AREA if share <= 2 / 3 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels_hwc, size, interpolation=way), np.uint8)


def _entropy(grey_hw: Pixels) -> float:
    """Of the luminance's histogram, in bits."""
    share_n = cv2.calcHist([grey_hw], [0], None, [256], [0, 256])[:, 0].astype(np.float64) / grey_hw.size
    present_n = share_n[share_n > 0]
    return float(-(present_n * np.log2(present_n)).sum())


def _spread(values_hw: npt.NDArray[Any]) -> float:
    """Standard deviation."""
    return float(cv2.meanStdDev(values_hw)[1][0, 0])


def _colourfulness(pixels_hwc: Pixels) -> float:
    """M3 of Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003), equation 10."""
    opponents_hw2 = cv2.transform(pixels_hwc.astype(np.float32), _OPPONENTS)
    mean_21, spread_21 = cv2.meanStdDev(opponents_hw2)
    return float(np.hypot(*spread_21[:, 0]) + 0.3 * np.hypot(*mean_21[:, 0]))


def _border(pixels_hwc: Pixels) -> float:
    """Share of the area outside the box around all that differs from the top left corner."""
    corner = pixels_hwc[0, 0].astype(np.float64)
    differs_hw = (
        cv2.inRange(pixels_hwc, tuple(corner - BORDER_TOLERANCE), tuple(corner + BORDER_TOLERANCE)) == 0
    )
    rows, columns = np.flatnonzero(differs_hw.any(axis=1)), np.flatnonzero(differs_hw.any(axis=0))
    if not len(rows):
        return 1.0
    inside = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return float(1 - inside / differs_hw.size)


def _thumbnail(pixels_hwc: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_fit(pixels_hwc, THUMBNAIL_SIDE)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
