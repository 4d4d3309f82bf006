"""Another view of the same picture, of the same size: nearer, to one side, mirrored, rotated, tilted."""

from __future__ import annotations

import math
import random

import cv2
import numpy as np
from PIL import Image, ImageOps

from jobs.curate.edit.operations.compose import Box, closer
from jobs.scenes.editing.edit import say

_PARTS: dict[str, Box] = {
    "middle": (0.5, 0.5),
    "top left": (0.0, 0.0),
    "top right": (1.0, 0.0),
    "bottom left": (0.0, 1.0),
    "bottom right": (1.0, 1.0),
}
_SIDES: dict[str, Box] = {"left": (0.0, 0.5), "right": (1.0, 0.5), "top": (0.5, 0.0), "bottom": (0.5, 1.0)}
_MIDDLE_SHARE = 0.6


def zoom(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """A part of the picture as large as the whole, and the instruction."""
    part = "middle" if rng.random() < _MIDDLE_SHARE else rng.choice(list(_PARTS))
    after = closer(image, _PARTS[part], rng.uniform(0.4, 0.65))
    return after, say(
        rng, f"Zoom in on the {part}", f"Zoom into the {part} of the picture", f"Enlarge the {part}"
    )


def turn(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """The picture mirrored, rotated a little, tilted, or cropped towards one side, and the instruction."""
    return rng.choice((_mirror, _rotate, _tilt, _crop))(image, rng)


def _mirror(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    text = say(rng, "Mirror the picture", "Flip the picture horizontally", "Swap left and right")
    return ImageOps.mirror(image), text


def _crop(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    side, centre = rng.choice(list(_SIDES.items()))
    after = closer(image, centre, rng.uniform(0.65, 0.8))
    return after, say(rng, f"Crop the picture towards the {side}", f"Move in closer towards the {side}")


def _rotate(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """Rotated about its middle, and enlarged so that no corner is empty."""
    degrees = rng.uniform(4, 9)
    way, angle = rng.choice((("clockwise", -degrees), ("counterclockwise", degrees)))
    matrix = cv2.getRotationMatrix2D(_middle(image), angle, _enlarged(image.size, degrees))
    pixels = cv2.warpAffine(
        np.asarray(image), matrix, image.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    text = say(rng, f"Rotate the picture a little {way}", f"Turn the picture slightly {way}")
    return Image.fromarray(pixels), text


def _tilt(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """In perspective, with the left or the right side nearer; what would be beyond the picture is cut off."""
    side, depth = rng.choice(("left", "right")), rng.uniform(0.14, 0.24)
    width, height = image.size
    inset = depth * height
    # The part of the picture that fills it afterwards: a trapezoid, low where the side comes nearer.
    left, right = (inset, 0.0) if side == "left" else (0.0, inset)
    shown = np.array([(0, left), (width, right), (width, height - right), (0, height - left)], np.float32)
    whole = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    matrix = cv2.getPerspectiveTransform(shown, whole)
    pixels = cv2.warpPerspective(
        np.asarray(image), matrix, image.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    text = say(
        rng,
        f"Tilt the picture so that its {side} side comes nearer",
        f"Show the picture in perspective, with the {side} side nearer",
    )
    return Image.fromarray(pixels), text


def _middle(image: Image.Image) -> tuple[float, float]:
    return (image.width - 1) / 2, (image.height - 1) / 2


def _enlarged(size: tuple[int, int], degrees: float) -> float:
    """By how much a rotated picture is enlarged until it covers its own frame."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    long, short = max(size), min(size)
    return cosine + sine * long / short
