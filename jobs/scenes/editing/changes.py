"""Scenes into other scenes: what each edit leaves, and whether all shapes still have room."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from jobs.scenes.world import CENTRES, SIZES, Scene, Shape

_MARGIN = 0.025
_GAP = 0.04
_GRID = [n / 10 for n in range(1, 10)]

TURNING_KINDS = ("circle", "square", "cross")
"""Kinds that a turn by 90 degrees leaves as they are; a mirror leaves all."""


def has_room(scene: Scene) -> bool:
    """Whether every shape is whole and no two come close to each other."""
    # The same form for both edges: how far the centre is from the middle.
    reach = (max(abs(s.x - 0.5), abs(s.y - 0.5)) + s.side / 2 for s in scene.shapes)
    inside = all(distance <= 0.5 - _MARGIN for distance in reach)
    return inside and not any(_close(a, b) for a, b in itertools.combinations(scene.shapes, 2))


def changed(scene: Scene, members: Collection[int], **fields: Any) -> Scene:
    """The scene with other values for fields of some shapes."""
    shapes = [replace(s, **fields) if n in members else s for n, s in enumerate(scene.shapes)]
    return replace(scene, shapes=tuple(shapes))


def removed(scene: Scene, members: Collection[int]) -> Scene:
    """The scene without some shapes."""
    return replace(scene, shapes=tuple(s for n, s in enumerate(scene.shapes) if n not in members))


def added(scene: Scene, shape: Shape) -> Scene:
    """The scene with one more shape."""
    return replace(scene, shapes=(*scene.shapes, shape))


def resized(scene: Scene, members: Collection[int], size: str) -> Scene:
    """Some shapes in another size, each where it stands, or as near to it as the edge allows."""
    shapes = [
        put(replace(s, size=size, side=SIZES[size]), s.x, s.y) if n in members else s
        for n, s in enumerate(scene.shapes)
    ]
    return replace(scene, shapes=tuple(shapes))


def put(shape: Shape, x: float, y: float) -> Shape:
    """The shape at this place, or as near to it as the edge allows."""
    nearest = _MARGIN + shape.side / 2
    return replace(shape, x=min(max(x, nearest), 1 - nearest), y=min(max(y, nearest), 1 - nearest))


def in_cells(shape: Shape) -> Iterator[Shape]:
    """The shape in each cell of the layout."""
    return (put(shape, x, y) for y, x in itertools.product(CENTRES, CENTRES))


def elsewhere(shape: Shape) -> list[Shape]:
    """The shape at each point of a finer grid."""
    return list(dict.fromkeys(put(shape, x, y) for y, x in itertools.product(_GRID, _GRID)))


def swapped(scene: Scene, first: int, second: int) -> Scene:
    """Two shapes, each in the other's place."""
    shapes = list(scene.shapes)
    a, b = shapes[first], shapes[second]
    shapes[first], shapes[second] = put(a, b.x, b.y), put(b, a.x, a.y)
    return replace(scene, shapes=tuple(shapes))


def mirrored(scene: Scene) -> Scene:
    """Left and right exchanged."""
    return replace(scene, shapes=tuple(replace(s, x=1 - s.x) for s in scene.shapes))


def turned(scene: Scene, quarters: int) -> Scene:
    """Turned clockwise by so many times 90 degrees; only for TURNING_KINDS."""
    for _ in range(quarters % 4):
        scene = replace(scene, shapes=tuple(replace(s, x=1 - s.y, y=s.x) for s in scene.shapes))
    return scene


def magnified(scene: Scene, x: float, y: float, old: str, new: str) -> Scene | None:
    """The scene looked at from nearer or from further away, with (x, y) in the middle.

    Shapes of the size `old` then have the size `new`. Shapes may end outside of the picture.

    Returns:
        None where a shape would be cut by the edge, or be of a size that has no name.
    """
    factor = SIZES[new] / SIZES[old]
    shapes = []
    for s in scene.shapes:
        seen = replace(s, x=0.5 + (s.x - x) * factor, y=0.5 + (s.y - y) * factor, side=s.side * factor)
        if _outside(seen):
            continue
        if s.size != old:
            return None
        shapes.append(replace(seen, size=new))
    found = replace(scene, shapes=tuple(shapes))
    return found if has_room(found) else None


def _outside(shape: Shape) -> bool:
    return max(abs(shape.x - 0.5), abs(shape.y - 0.5)) - shape.side / 2 >= 0.5


def _close(a: Shape, b: Shape) -> bool:
    return max(abs(a.x - b.x), abs(a.y - b.y)) < (a.side + b.side) / 2 + _GAP
