"""Other light on a whole picture: brighter, darker, in the shadows alone, warmer, cooler.

Shapes: H, W pixels; 3 is RGB in 0..255.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image

from jobs.scenes.editing.edit import say

Floats = npt.NDArray[np.float32]

_AMOUNTS = {"a little ": 0.5, "": 1.0, "a lot ": 1.9}
"""How strong a change is, by the words that say so."""
_WORDS: dict[str, tuple[str, ...]] = {
    "brighter": ("Make the picture {}brighter", "Make it {}brighter"),
    "darker": ("Make the picture {}darker", "Make it {}darker"),
    "shadows": ("Make the dark parts {}brighter", "Make the shadows {}lighter"),
    "warmer": ("Make the light {}warmer", "Make the colors {}warmer"),
    "cooler": ("Make the light {}cooler", "Make the colors {}cooler"),
}


def relight(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """The picture in another light, and the instruction."""
    name = rng.choice(list(_LIGHTS))
    amount = rng.choice(list(_AMOUNTS))
    pixels_HW3 = np.asarray(image, np.float32)
    lit_HW3 = _LIGHTS[name](pixels_HW3, _AMOUNTS[amount])
    after = Image.fromarray(np.rint(lit_HW3.clip(0, 255)).astype(np.uint8))
    return after, say(rng, *(words.format(amount) for words in _WORDS[name]))


def _expose(pixels_HW3: Floats, stops: float) -> Floats:
    """Twice the light for each stop. What would be beyond white comes close to it instead."""
    light_HW3 = (pixels_HW3 / 255) ** 2.2
    light_HW3 = 1 - (1 - light_HW3) ** 2**stops if stops > 0 else light_HW3 * 2**stops
    return np.asarray(255 * light_HW3 ** (1 / 2.2), np.float32)


def _lift(pixels_HW3: Floats, strength: float) -> Floats:
    """A gamma curve: black and white stay, what is dark between them is lifted most."""
    return np.asarray(255 * (pixels_HW3 / 255) ** (1 / (1 + 0.5 * strength)), np.float32)


def _warm(pixels_HW3: Floats, strength: float) -> Floats:
    return pixels_HW3 * np.array([1 + 0.12 * strength, 1, 1 - 0.18 * strength], np.float32)


_LIGHTS: dict[str, Callable[[Floats, float], Floats]] = {
    "brighter": lambda pixels, strength: _expose(pixels, 0.9 * strength),
    "darker": lambda pixels, strength: _expose(pixels, -1.1 * strength),
    "shadows": _lift,
    "warmer": _warm,
    "cooler": lambda pixels, strength: _warm(pixels, -strength),
}
