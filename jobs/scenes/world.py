"""What a scene is, and the scene that belongs to (seed, index).

One to four coloured shapes stand on a loose 3x3 layout on a plain background; they never touch. Half of
the scenes hold a single shape, mostly large and in the middle, which a small model learns first. Equal
arguments give the equal scene on every machine: nothing here depends on numpy or on global state.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

RGB = tuple[int, int, int]

KINDS = ("circle", "square", "triangle", "star", "cross")

COLORS: dict[str, RGB] = {
    "red": (220, 30, 40),
    "orange": (250, 140, 10),
    "yellow": (250, 225, 50),
    "green": (20, 160, 50),
    "cyan": (50, 205, 225),
    "blue": (35, 70, 220),
    "purple": (150, 30, 200),
    "pink": (250, 125, 190),
}

BACKGROUNDS: dict[str, RGB] = {"white": (245, 245, 245), "gray": (130, 130, 130), "black": (20, 20, 20)}

SIZES: dict[str, float] = {"small": 0.25, "medium": 0.34, "large": 0.44}
"""Side of the bounding box, as a share of the picture's side."""

MAX_SHAPES = 4

CENTRES = (0.25, 0.5, 0.75)
"""Where the rows and columns of the layout lie, before jitter. Shapes of every size have room around them."""

_MIDDLE = len(CENTRES) ** 2 // 2
_MIDDLE_SHARE = 0.7
"""Of the scenes of one shape: it stands large in the middle, as what a photo is of usually does."""
_CENTRE_JITTER = 0.015
_SIZE_JITTER = 0.02
_MARGIN = 0.03
_GAP = 0.05


@dataclass(frozen=True)
class Shape:
    """One shape. Lengths are shares of the picture's side; y grows downwards."""

    kind: str
    color: str
    size: str
    x: float
    """Centre of the bounding box."""
    y: float
    side: float
    """Side of the bounding box, within a few percent of `SIZES[size]`."""


@dataclass(frozen=True)
class Scene:
    """Shapes that do not touch, on a plain background."""

    shapes: tuple[Shape, ...]
    background: str


def random_for(purpose: str, seed: int, index: int) -> random.Random:
    """A generator of its own for each purpose and (seed, index)."""
    return random.Random(f"scenes {purpose} {seed} {index}")


def sample_scene(seed: int, index: int) -> Scene:
    """The scene number `index` of the world `seed`.

    Half of the scenes are a single shape, a quarter are equal shapes to be counted, a quarter are
    shapes that differ.
    """
    rng = random_for("scene", seed, index)
    background = rng.choice(list(BACKGROUNDS))
    looks = _sample_looks(rng)
    while (shapes := _place(rng, looks)) is None:
        pass
    return Scene(shapes, background)


def _sample_looks(rng: random.Random) -> list[tuple[str, str]]:
    """Kind and colour of each shape."""
    plan = rng.choice(("single", "single", "equal", "different"))
    if plan == "single":
        return [_sample_look(rng)]
    count = rng.choice((2, 2, 3, MAX_SHAPES))
    if plan == "equal":
        return [_sample_look(rng)] * count
    return [_sample_look(rng) for _ in range(count)]


def _sample_look(rng: random.Random) -> tuple[str, str]:
    return rng.choice(KINDS), rng.choice(list(COLORS))


def _place(rng: random.Random, looks: list[tuple[str, str]]) -> tuple[Shape, ...] | None:
    """Give each shape a size and a cell of the layout; None if two come too close."""
    cells = _sample_cells(rng, len(looks))
    sizes = ["large"] if cells == [_MIDDLE] else _sample_sizes(rng, looks)
    shapes: list[Shape] = []
    for (kind, color), size, cell in zip(looks, sizes, cells, strict=True):
        side = SIZES[size] * rng.uniform(1 - _SIZE_JITTER, 1 + _SIZE_JITTER)
        row, column = divmod(cell, len(CENTRES))
        x, y = (_sample_centre(rng, CENTRES[at], side) for at in (column, row))
        shape = Shape(kind, color, size, x, y, side)
        if any(_too_close(shape, other) for other in shapes):
            return None
        shapes.append(shape)
    return tuple(shapes)


def _sample_cells(rng: random.Random, count: int) -> list[int]:
    """Places in the layout, numbered row by row."""
    if count == 1 and rng.random() < _MIDDLE_SHARE:
        return [_MIDDLE]
    return rng.sample(range(len(CENTRES) ** 2), count)


def _sample_sizes(rng: random.Random, looks: list[tuple[str, str]]) -> list[str]:
    """Shapes of equal looks have equal sizes, so that they can be told in one phrase."""
    size_of = {look: rng.choice(list(SIZES)) for look in dict.fromkeys(looks)}
    return [size_of[look] for look in looks]


def _sample_centre(rng: random.Random, centre: float, side: float) -> float:
    nearest_edge = _MARGIN + side / 2
    shifted = centre + rng.uniform(-_CENTRE_JITTER, _CENTRE_JITTER)
    return min(max(shifted, nearest_edge), 1 - nearest_edge)


def _too_close(a: Shape, b: Shape) -> bool:
    distance = max(abs(a.x - b.x), abs(a.y - b.y))
    return distance < (a.side + b.side) / 2 + _GAP
