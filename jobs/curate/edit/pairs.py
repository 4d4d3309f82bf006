"""What two pictures measure against each other: how much differs, where, and how well the rest is kept.

Measured on copies of at most 256 pixels a side, so the numbers depend little on resolution and cost the
same for every pair. Nothing is judged here.

Shapes: H, W pixels of the copies; 3 is RGB.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import cv2
import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 256
"""Longer side, in pixels, of the copies that are measured. Smaller pictures are not enlarged."""

VISIBLE = 24
"""Steps of 0..255 by which a channel of a pixel differs visibly; JPEG's own noise stays below."""

MAX_DECIBELS = 100.0
"""PSNR of what is equal to the last bit."""

THUMBNAIL_SIDE = 128

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairScores:
    """Measurements of a picture before and after.

    `changed` is the share of the pixels that differ visibly; `left`, `top`, `right`, `bottom` are the box
    around them, as shares of the sides (all 0 where nothing differs). `ssim` and `psnr` (decibels) are of
    what lies outside of the changed pixels and their surroundings, None where that is nothing.
    `hash_distance` counts the bits in which 64-bit perceptual hashes differ.
    """

    changed: float
    left: float
    top: float
    right: float
    bottom: float
    ssim: float | None
    psnr: float | None
    hash_distance: int


def working_copy(picture: Image.Image) -> Image.Image:
    """A picture within SIDE pixels."""
    small = picture.copy()
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return small


def measure_pair(before: Image.Image, after: Image.Image) -> PairScores:
    """Measure two working copies; the one after is brought to the size of the other first."""
    if after.size != before.size:
        after = after.resize(before.size, Image.Resampling.LANCZOS)
    before_HW3, after_HW3 = np.asarray(before, np.float32), np.asarray(after, np.float32)
    changed_HW = _changed(before_HW3, after_HW3)
    left, top, right, bottom = _box(changed_HW)
    # Resampling and compression blur an edit's edge into its surroundings.
    kept_HW = cv2.dilate(changed_HW.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    return PairScores(
        changed=float(changed_HW.mean()),
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        ssim=float(ssim_map(_luminance(before_HW3), _luminance(after_HW3))[kept_HW].mean())
        if kept_HW.any()
        else None,
        psnr=_psnr(before_HW3[kept_HW], after_HW3[kept_HW]) if kept_HW.any() else None,
        hash_distance=int(imagehash.phash(before) - imagehash.phash(after)),
    )


def ssim_map(one_HW: Floats, other_HW: Floats) -> Floats:
    """Structural similarity at each pixel of two luminances in 0..255 (Wang et al., 2004): a Gaussian window
    of 11 x 11 pixels with sigma 1.5, K1 0.01, K2 0.03."""

    def mean(values_HW: Floats) -> Floats:
        return np.asarray(cv2.GaussianBlur(values_HW, (11, 11), 1.5), np.float32)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean1_HW, mean2_HW = mean(one_HW), mean(other_HW)
    variance1_HW = mean(one_HW * one_HW) - mean1_HW**2
    variance2_HW = mean(other_HW * other_HW) - mean2_HW**2
    covariance_HW = mean(one_HW * other_HW) - mean1_HW * mean2_HW
    light_HW = (2 * mean1_HW * mean2_HW + c1) / (mean1_HW**2 + mean2_HW**2 + c1)
    return np.asarray(light_HW * (2 * covariance_HW + c2) / (variance1_HW + variance2_HW + c2), np.float32)


def thumbnail(picture: Image.Image) -> bytes:
    """A small JPEG of a picture."""
    copy = picture.copy()
    copy.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = io.BytesIO()
    copy.save(buffer, "JPEG", quality=88, subsampling=0)  # small shapes keep their colours
    return buffer.getvalue()


def _changed(before_HW3: Floats, after_HW3: Floats) -> Mask:
    """Which pixels differ visibly, single specks of noise aside."""
    own_HW = np.abs(before_HW3 - after_HW3).max(axis=2)
    around_HW = np.abs(cv2.blur(before_HW3, (3, 3)) - cv2.blur(after_HW3, (3, 3))).max(axis=2)
    return np.asarray(np.minimum(own_HW, around_HW) > VISIBLE, np.bool_)


def _box(changed_HW: Mask) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of the changed pixels, as shares of the sides."""
    height, width = changed_HW.shape
    rows, columns = np.flatnonzero(changed_HW.any(axis=1)), np.flatnonzero(changed_HW.any(axis=0))
    if not len(rows):
        return 0.0, 0.0, 0.0, 0.0
    left, right = columns[0] / width, (columns[-1] + 1) / width
    return float(left), float(rows[0] / height), float(right), float((rows[-1] + 1) / height)


def _luminance(pixels_HW3: Floats) -> Floats:
    return np.asarray(cv2.cvtColor(pixels_HW3, cv2.COLOR_RGB2GRAY), np.float32)


def _psnr(before: Floats, after: Floats) -> float:
    error = float(np.mean((before - after) ** 2))
    return min(MAX_DECIBELS, 10 * np.log10(255**2 / error)) if error else MAX_DECIBELS
