"""Which kind of shape a region is: the best match among outlines of every kind, size and softness.

A region and the outlines are brought to the same form first, a small patch with the mass in its middle
and the same area, so that only the form counts. Soft outlines are part of the choice: a blurred star is
compared with blurred stars, and is not mistaken for the circle it begins to resemble.

Legend: H, W pixels of a cover (a square picture, 0 background to 1 shape); P pixels of a patch, flat;
O outlines to choose from.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from jobs.scenes.draw import place
from jobs.scenes.world import KINDS, SIZES

Array = npt.NDArray[np.float32]

MIN_LIKENESS = 0.95
"""Correlation with the best outline below which a region is of no known kind."""

_PATCH = 40
_ROOT_AREA = 16.0
"""Square root of the area of every shape in its patch."""
_SOFTNESS = (0.0, 0.006, 0.012, 0.02, 0.028)
"""Blurs of the outlines, as shares of the picture's side: from sharp pictures to poor reconstructions."""
_CANVAS = 512
_COVER = 128


@dataclass(frozen=True)
class Form:
    """The form of one region."""

    kind: str
    side: float
    """Side of the shape's bounding box, in the pixels of the cover."""
    likeness: float
    """Correlation with the best outline, at most 1."""


def recognise(cover_HW: Array) -> Form:
    """The kind of the one shape in a cover that is not empty."""
    outlines = _outlines()
    likeness_O = outlines.patches_OP @ _patch(cover_HW)
    best = int(likeness_O.argmax())
    side = outlines.side_O[best] * np.sqrt(cover_HW.sum())
    return Form(outlines.kinds[best], float(side), float(likeness_O[best]))


def centre_of_mass(cover_HW: Array) -> tuple[float, float]:
    """x and y in pixels; the centre of the first pixel is 0.5."""
    at_H, at_W = (np.arange(length) + 0.5 for length in cover_HW.shape)
    total = cover_HW.sum()
    return float(cover_HW.sum(axis=0) @ at_W / total), float(cover_HW.sum(axis=1) @ at_H / total)


@dataclass(frozen=True)
class _Outlines:
    kinds: tuple[str, ...]
    patches_OP: Array
    side_O: Array
    """Side of the bounding box over the square root of the area."""


@functools.cache
def _outlines() -> _Outlines:
    choices = [(kind, side, soft) for kind in KINDS for side in SIZES.values() for soft in _SOFTNESS]
    covers = [_draw_cover(*choice) for choice in choices]
    sides = [
        side * _COVER / np.sqrt(cover.sum()) for (_, side, _), cover in zip(choices, covers, strict=True)
    ]
    return _Outlines(
        tuple(kind for kind, _, _ in choices),
        np.stack([_patch(cover_HW) for cover_HW in covers]),
        np.array(sides, np.float32),
    )


def _draw_cover(kind: str, side: float, softness: float) -> Array:
    canvas = Image.new("L", (_CANVAS, _CANVAS))
    ImageDraw.Draw(canvas).polygon(place(kind, 0.5, 0.5, side, _CANVAS), fill=255)
    cover_HW = np.asarray(canvas.reduce(_CANVAS // _COVER), np.float32) / np.float32(255)
    if not softness:
        return cover_HW
    return np.asarray(cv2.GaussianBlur(cover_HW, (0, 0), softness * _COVER), np.float32)


def _patch(cover_HW: Array) -> Array:
    """A cover in its patch: centred, of equal area, then of zero mean and unit length."""
    x, y = centre_of_mass(cover_HW)
    zoom = _ROOT_AREA / float(np.sqrt(cover_HW.sum()))
    shift = [_PATCH / 2 - zoom * x + (zoom - 1) / 2, _PATCH / 2 - zoom * y + (zoom - 1) / 2]
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)
    patch_P = cv2.warpAffine(cover_HW, matrix, (_PATCH, _PATCH), flags=cv2.INTER_LINEAR).ravel()
    centred_P: Array = patch_P - patch_P.mean()
    return centred_P / np.float32(np.linalg.norm(centred_P) + 1e-9)
