"""Bands along the sides of a picture: letterboxes, frames, captions and watermarks around the content.

A band is of one colour but for writing, a third of the picture at most, and ends in a straight edge: just
outside of it nearly all is of the band's colour, just inside little is, and most of the edge's length
changes a lot. A sky that fades is of several colours; the ground of a drawing or a page of text goes on
inside. A straight horizon under a sky of a single colour can still be mistaken, and so can a large
rectangle on plain ground. Words over the content itself are not looked for.

Shapes: H W pixels, N places at which a band may end.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

TOLERANCE = 16
"""Steps of 0..255 within which a pixel counts as of the band's colour: JPEG blurs writing into its ground."""

LEAST_STEP = 32
"""Steps by which a pixel changes at the edge."""

LEAST_SIDE = 12
THINNEST = 3
"""Pixels of a band; scaling smears what is thinner."""

WRITING, EDGE = 0.05, 0.9
"""Share of the band's colour in any of its rows, and in one of the last two before the content."""

CHANGE = 0.65
"""Share of the edge's length along which pixels change."""

INSIDE, CONTENT = 0.35, 0.4
"""Most of the band's colour in the first rows of the content, and in the quarter of the picture behind."""

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def frame_share(pixels_hwc: Pixels) -> float:
    """Share of an RGB picture's area that is bands along its sides."""
    height, width = pixels_hwc.shape[:2]
    top, bottom = _bands(np.ascontiguousarray(pixels_hwc))
    left, right = _bands(np.ascontiguousarray(pixels_hwc.transpose(1, 0, 2)))
    return float(1 - (height - top - bottom) * (width - left - right) / (height * width))


def _bands(pixels_hwc: Pixels) -> tuple[int, int]:
    """Rows of the bands at the top and at the bottom."""
    if len(pixels_hwc) < LEAST_SIDE:
        return 0, 0
    # Scaling smears an edge over two rows, so the rows on either side of them are compared.
    same_hw = cv2.inRange(cv2.absdiff(pixels_hwc[3:], pixels_hwc[:-3]), (0,) * 3, (LEAST_STEP,) * 3)
    change_h = 1 - same_hw.mean(axis=1) / 255
    return _thickness(pixels_hwc, change_h), _thickness(np.flipud(pixels_hwc), change_h[::-1])


def _thickness(pixels_hwc: Pixels, change_h: Floats) -> int:
    """Rows of the thickest band at the top. `change_h`: a row's share unlike the third row below it."""
    ends_n = np.arange(THINNEST, len(pixels_hwc) // 3 + 1)  # the first row inside
    ends_n = ends_n[change_h[ends_n - 2] >= CHANGE]
    if not len(ends_n):  # as in most pictures: no edge, so no need to look for its band
        return 0
    share_h = _share(pixels_hwc)
    height = len(share_h)
    sums_h = np.concatenate([[0.0], share_h.cumsum()])
    behind_n = np.minimum(height, ends_n + 1 + height // 4)
    writing_n = np.minimum.accumulate(share_h)[ends_n - 2]
    edge_n = np.maximum(share_h[ends_n - 1], share_h[ends_n - 2])
    inside_n = np.maximum(share_h[ends_n + 1], share_h[ends_n + 2])
    content_n = (sums_h[behind_n] - sums_h[ends_n + 1]) / (behind_n - ends_n - 1)
    fits_n = (writing_n >= WRITING) & (edge_n >= EDGE) & (inside_n <= INSIDE) & (content_n <= CONTENT)
    return int(ends_n[fits_n].max(initial=0))


def _share(pixels_hwc: Pixels) -> Floats:
    """Share of each row that is of the colour of the first."""
    first = pixels_hwc[: max(2, len(pixels_hwc) // 32)]
    colour = np.median(first.reshape(-1, 3), axis=0)
    near_hw = cv2.inRange(pixels_hwc, tuple(colour - TOLERANCE), tuple(colour + TOLERANCE))
    return np.asarray(near_hw.mean(axis=1) / 255, np.float64)
