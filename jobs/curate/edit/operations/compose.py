"""Objects put in front of a ground: new pictures of which everything that is in them is known."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from jobs.curate.edit.operations.names import Name
from jobs.images import fit

Box = tuple[float, float]
"""Width and height as shares of a canvas, or the centre of something in it."""

COLORS = {
    "white": (250, 250, 250),
    "light gray": (208, 208, 210),
    "beige": (234, 221, 194),
    "light blue": (170, 205, 236),
    "light green": (182, 222, 178),
    "pink": (245, 192, 208),
    "yellow": (248, 222, 110),
    "dark blue": (32, 52, 108),
    "dark green": (30, 86, 58),
    "black": (18, 18, 20),
}
"""Plain grounds by name."""

_ASPECTS = ((1, 1), (4, 3), (3, 4))
_VISIBLE_DISTANCE, _VISIBLE_SHARE = 80.0, 0.8
_MOST_ENLARGED = 1.5
_LEAST_SIDE = 96


@dataclass(frozen=True)
class Thing:
    """A cut-out object: RGBA in its own box, what it is called, and the sample it is from."""

    layer: Image.Image
    name: Name
    named: bool
    """Whether its caption says the name."""
    parent: int


@dataclass(frozen=True)
class Ground:
    """What things stand in front of. `words` name it; `parent` is the sample a photo is from."""

    image: Image.Image
    words: str
    parent: int | None = None


@dataclass(frozen=True)
class Placed:
    """A thing on a canvas: where its centre is, and the box that it fills in one direction."""

    thing: Thing
    at: Box
    box: Box


@dataclass(frozen=True)
class Shot:
    """Things before a ground, in order."""

    ground: Ground
    placed: tuple[Placed, ...] = ()

    @property
    def parents(self) -> list[int]:
        """Samples that pictures in it are from."""
        ground = [] if self.ground.parent is None else [self.ground.parent]
        return [*(one.thing.parent for one in self.placed), *ground]


def canvas_size(thing: Thing, box: Box, max_side: int, rng: random.Random) -> tuple[int, int]:
    """A canvas on which a thing fills a box without being enlarged."""
    across, down = rng.choice(_ASPECTS)
    width, height = thing.layer.size
    # Of a canvas of (across, down) units, how many pixels a unit has.
    unit = max(width / (across * box[0]), height / (down * box[1]), _LEAST_SIDE / min(across, down))
    unit = min(unit, max_side / max(across, down))
    return round(unit * across), round(unit * down)


def plain_ground(
    size: tuple[int, int], things: Sequence[Thing], rng: random.Random, without: str = ""
) -> Ground:
    """A plain ground before which the things are well to be seen, of another name than `without`."""
    shares = {
        c: min(_visible(thing.layer, rgb) for thing in things) for c, rgb in COLORS.items() if c != without
    }
    clear = [name for name, share in shares.items() if share >= _VISIBLE_SHARE]
    name = rng.choice(clear) if clear else max(shares, key=lambda name: shares[name])
    return Ground(Image.new("RGB", size, COLORS[name]), name)


def photo_ground(photo: Image.Image, size: tuple[int, int], words: str, parent: int) -> Ground:
    """A picture as the ground, as much of its middle as fits."""
    return Ground(fit(photo, *size), words, parent)


def compose(shot: Shot) -> Image.Image:
    """The picture of a shot."""
    canvas = shot.ground.image.copy()
    for one in shot.placed:
        layer = _scaled(one, canvas.size)
        left, top = (
            _inside(at * whole, part, whole)
            for at, part, whole in zip(one.at, layer.size, canvas.size, strict=True)
        )
        canvas.paste(layer, (left, top), layer)
    return canvas


def close_up(shot: Shot, shown: float) -> Shot:
    """A shot with one thing looked at from nearer, with this share of its sides and the thing in the middle.

    The thing is drawn anew, so it is as sharp as its picture allows.
    """
    (one,) = shot.placed
    ground = replace(shot.ground, image=closer(shot.ground.image, one.at, shown))
    return Shot(ground, (replace(one, at=(0.5, 0.5), box=(one.box[0] / shown, one.box[1] / shown)),))


def closer(image: Image.Image, centre: Box, shown: float) -> Image.Image:
    """A part of a picture around a centre, with `shown` of its sides, enlarged to its size."""
    width, height = (max(1, round(side * shown)) for side in image.size)
    left = _inside(centre[0] * image.width, width, image.width)
    top = _inside(centre[1] * image.height, height, image.height)
    return image.resize(image.size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))


def is_clear(layer: Image.Image, ground: Ground) -> bool:
    """Whether an object is well to be seen before a ground; before a photo it is taken to be."""
    return ground.parent is not None or _visible(layer, COLORS[ground.words]) >= _VISIBLE_SHARE


def _inside(centre: float, part: int, whole: int) -> int:
    """Where a part begins that is centred here: at the edge it is moved inwards rather than cut."""
    return min(max(round(centre - part / 2), 0), whole - part)


def _scaled(one: Placed, canvas: tuple[int, int]) -> Image.Image:
    width, height = one.thing.layer.size
    scale = min(one.box[0] * canvas[0] / width, one.box[1] * canvas[1] / height, _MOST_ENLARGED)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return one.thing.layer.resize(size, Image.Resampling.LANCZOS)


def _visible(layer: Image.Image, ground: tuple[int, int, int]) -> float:
    """Share of the opaque pixels that differ clearly from a ground."""
    small = layer.copy()
    small.thumbnail((64, 64))
    pixels = np.asarray(small, np.float64)
    opaque = pixels[pixels[..., 3] > 127][:, :3]
    distance = np.sqrt(((opaque - np.array(ground)) ** 2).sum(axis=1))
    return float((distance >= _VISIBLE_DISTANCE).mean()) if len(opaque) else math.nan
