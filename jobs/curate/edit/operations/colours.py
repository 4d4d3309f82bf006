"""Colours by name: which one an object has, by measurement, and the object in another one.

Legend: N pixels of an object; 3 is hue (0..179), saturation and value (0..255), as OpenCV has them.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = npt.NDArray[np.uint8]

HUES = {"red": 0, "orange": 13, "yellow": 27, "green": 60, "blue": 112, "purple": 140, "pink": 163}
"""The middle hue of each colour that objects are painted in."""

COLORLESS = ("black", "white", "gray")

_HUE_ENDS = {
    7: "red",
    20: "orange",
    34: "yellow",
    84: "green",
    100: "turquoise",
    128: "blue",
    150: "purple",
    172: "pink",
    180: "red",
}
"""The name of every hue below a number, from the last one on."""
_DARK_NAMES = {"orange": "brown", "yellow": "olive", "pink": "dark purple"}
_BLACK_VALUE, _DARK_VALUE, _WHITE_VALUE = 45, 125, 200
_GRAY_SATURATION = 45
_LEAST_SATURATION, _LEAST_VALUE = 150, 70
_CLEAR_SHARE = 0.6


def dominant(layer: Image.Image) -> tuple[str, float]:
    """The name of the colour that most of an object's opaque pixels have, and their share."""
    hsv_N3 = _hsv(layer)[_opaque(layer)]
    names_N = _names(hsv_N3)
    names, counts = np.unique(names_N, return_counts=True)
    best = int(counts.argmax())
    name = str(names[best])
    is_dark = np.median(hsv_N3[names_N == name, 2]) < _DARK_VALUE
    if is_dark and name not in COLORLESS:
        name = _DARK_NAMES.get(name, f"dark {name}")
    return name, float(counts[best] / counts.sum())


def paint(
    layer: Image.Image, rng: random.Random, accept: Callable[[Image.Image], bool]
) -> tuple[Image.Image, str] | None:
    """An object in another colour, light and shade kept, and the name that most of it then goes by.

    Returns:
        None where no colour is accepted, or none can be told: most pixels stay black or pale.
    """
    before, _ = dominant(layer)
    for hue in rng.sample(list(HUES.values()), len(HUES)):
        painted = _with_hue(layer, hue)
        name, share = dominant(painted)
        if share >= _CLEAR_SHARE and name not in (before, *COLORLESS) and accept(painted):
            return painted, name
    return None


def _with_hue(layer: Image.Image, hue: int) -> Image.Image:
    hsv_HW3 = _hsv(layer)
    hsv_HW3[..., 0] = hue
    hsv_HW3[..., 1] = np.maximum(hsv_HW3[..., 1], _LEAST_SATURATION)
    value_HW = hsv_HW3[..., 2].astype(np.float32)
    hsv_HW3[..., 2] = np.rint(_LEAST_VALUE + value_HW * (255 - _LEAST_VALUE) / 255)
    painted = Image.fromarray(cv2.cvtColor(hsv_HW3, cv2.COLOR_HSV2RGB))
    painted.putalpha(layer.getchannel("A"))
    return painted


def _hsv(layer: Image.Image) -> Bytes:
    return np.asarray(cv2.cvtColor(np.asarray(layer.convert("RGB")), cv2.COLOR_RGB2HSV), np.uint8)


def _opaque(layer: Image.Image) -> npt.NDArray[np.bool_]:
    return np.asarray(layer.getchannel("A")) > 127


def _names(hsv_N3: Bytes) -> npt.NDArray[np.str_]:
    """The name of each pixel's colour, dark or bright."""
    hue_N, saturation_N, value_N = hsv_N3.T
    words = np.array(list(_HUE_ENDS.values()))
    names_N = words[np.searchsorted(list(_HUE_ENDS), hue_N, side="right")]
    pale_N = saturation_N < _GRAY_SATURATION
    names_N = np.where(pale_N, np.where(value_N > _WHITE_VALUE, "white", "gray"), names_N)
    return np.where(value_N < _BLACK_VALUE, "black", names_N)
