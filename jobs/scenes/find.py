"""What is to be seen in a picture of the world: the background and each shape, from the pixels alone.

The picture may be a soft and noisy reconstruction, or a generated one. A pixel's *cover* is how far its
colour has gone from the background towards the shape's colour; it stays right where edges are soft.

Legend: H, W pixels of the working copy (SIDE x SIDE); 3 is RGB; P colours of the palette; N any pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.scenes.kinds import MIN_LIKENESS, centre_of_mass, recognise
from jobs.scenes.world import BACKGROUNDS, COLORS, RGB, SIZES

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

SIDE = 128
"""Every picture is looked at in this size."""

_MIN_SIDE = 0.75 * min(SIZES.values())
_MAX_SIDE = 1.25 * max(SIZES.values())
_SOME_CONTRAST = 55.0
"""Euclidean RGB distance from the background that makes a pixel part of a shape."""
_CLEAR_CONTRAST = 75.0
"""The distance that some pixels of every shape have."""
_MIN_AREA = 60
"""How many. Pixels of the working copy; the smallest star has 250."""


@dataclass(frozen=True)
class Region:
    """One shape as it is seen. Lengths are shares of the picture's side."""

    kind: str | None
    """None: no known kind fits, or the region is far too small or large."""
    color: str
    size: str
    x: float
    y: float
    likeness: float
    """Correlation with the outline of the best kind."""


@dataclass(frozen=True)
class Found:
    """What is seen in a picture."""

    background: str
    regions: tuple[Region, ...]


def find_shapes(image: Image.Image) -> Found:
    """Find the background and the shapes of a square picture of any size."""
    pixels_HW3 = _working_copy(image)
    background, ground_3 = _find_background(pixels_HW3)
    distance_HW = np.sqrt(((pixels_HW3 - ground_3) ** 2) @ np.ones(3, np.float32))
    masks = _separate(distance_HW)
    return Found(background, tuple(_look_at(pixels_HW3, ground_3, mask_HW) for mask_HW in masks))


def nearest(color_3: Array, palette: Mapping[str, RGB]) -> str:
    """The name of the palette's colour nearest to this one, by Euclidean RGB distance."""
    return min(palette, key=lambda name: float(np.sum((color_3 - np.array(palette[name])) ** 2)))


def _working_copy(image: Image.Image) -> Array:
    """The picture at SIDE x SIDE, with single deviating pixels removed."""
    resized = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return np.asarray(cv2.medianBlur(np.asarray(resized), 3), np.float32)


def _find_background(pixels_HW3: Array) -> tuple[str, Array]:
    """The background's name, and its colour as it is in this picture."""
    names = list(BACKGROUNDS)
    palette_P3 = np.array([*BACKGROUNDS.values(), *COLORS.values()], np.float32)
    # |pixel - color|^2 is smallest where pixel . color - |color|^2 / 2 is largest, which costs one product.
    nearest_HW = (pixels_HW3 @ palette_P3.T - (palette_P3**2).sum(axis=1) / 2).argmax(axis=-1)
    best = int(np.bincount(nearest_HW.ravel(), minlength=len(palette_P3))[: len(names)].argmax())
    members_N3 = pixels_HW3[nearest_HW == best]
    ground_3 = np.median(members_N3, axis=0) if len(members_N3) else palette_P3[best]
    return names[best], ground_3.astype(np.float32)


def _separate(distance_HW: Array) -> list[Mask]:
    """The connected regions that differ from the background, and that somewhere differ clearly."""
    differs_HW = (distance_HW > _SOME_CONTRAST).astype(np.uint8)
    count, labels_HW = cv2.connectedComponents(differs_HW, connectivity=4)
    clear_pixels = np.bincount(labels_HW[distance_HW > _CLEAR_CONTRAST], minlength=count)
    return [labels_HW == n for n in range(1, count) if clear_pixels[n] >= _MIN_AREA]


def _look_at(pixels_HW3: Array, ground_3: Array, mask_HW: Mask) -> Region:
    color_3 = _core_color(pixels_HW3, mask_HW)
    cover_HW = _cover(pixels_HW3, ground_3, color_3, mask_HW)
    form = recognise(cover_HW)
    known = form.likeness >= MIN_LIKENESS and _MIN_SIDE <= form.side / SIDE <= _MAX_SIDE
    x, y = centre_of_mass(cover_HW)
    return Region(
        kind=form.kind if known else None,
        color=nearest(color_3, COLORS),
        size=min(SIZES, key=lambda name: abs(math.log(SIZES[name] * SIDE / form.side))),
        x=x / SIDE,
        y=y / SIDE,
        likeness=form.likeness,
    )


def _core_color(pixels_HW3: Array, mask_HW: Mask) -> Array:
    """The median colour of the innermost quarter of a region, away from its soft edge."""
    depth_HW = cv2.distanceTransform(np.pad(mask_HW.astype(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    deep_HW = depth_HW >= np.quantile(depth_HW[mask_HW], 0.75)
    return np.asarray(np.median(pixels_HW3[deep_HW & mask_HW], axis=0), np.float32)


def _cover(pixels_HW3: Array, ground_3: Array, color_3: Array, mask_HW: Mask) -> Array:
    """0 on the background to 1 on the shape, in and just around a region."""
    towards_3 = color_3 - ground_3
    length_squared = towards_3 @ towards_3
    if length_squared < 1:  # speckles all around the background's colour: no colour to go towards
        return mask_HW.astype(np.float32)
    share_HW = (pixels_HW3 - ground_3) @ towards_3 / length_squared
    around_HW = cv2.dilate(mask_HW.astype(np.uint8), np.ones((9, 9), np.uint8))
    return np.asarray(share_HW.clip(0, 1) * around_HW, np.float32)
