"""Words for shapes of a scene that fit these shapes and no others, as instructions need them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass

from jobs.scenes.captions import phrase
from jobs.scenes.world import Scene, Shape

_EXTREMES = {"leftmost": (-1, 0), "rightmost": (1, 0), "highest": (0, -1), "lowest": (0, 1)}
"""The direction in which such a shape lies beyond the others: x to the right, y downwards."""
_CLEARLY = 0.1
"""How far beyond, in shares of the picture's side."""
_ALL = {2: "both", 3: "all three", 4: "all four"}
_KIND_SHARE = 0.85
"""How often a shape is called by its kind rather than `shape`, where both would do."""


@dataclass(frozen=True)
class Target:
    """Shapes that an instruction speaks of."""

    members: frozenset[int]
    """Their numbers in the scene."""
    words: str
    """Such as `the red star`, `both circles`, `the leftmost small cross`."""

    @property
    def it_is(self) -> str:
        """The pronoun with its verb."""
        return "it is" if len(self.members) == 1 else "they are"


def group_targets(scene: Scene, rng: random.Random) -> list[Target]:
    """A target for each group of shapes with equal looks."""
    looks = dict.fromkeys((shape.kind, shape.color) for shape in scene.shapes)
    groups = [frozenset(n for n, s in enumerate(scene.shapes) if (s.kind, s.color) == look) for look in looks]
    return [Target(members, _name(scene, members, rng)) for members in groups]


def single_targets(scene: Scene, rng: random.Random) -> list[Target]:
    """A target for each shape that no other shape looks like."""
    return [target for target in group_targets(scene, rng) if len(target.members) == 1]


def placed_targets(scene: Scene, rng: random.Random) -> list[Target]:
    """A target for each of several equal shapes that its place tells from the others."""
    found = []
    for group in group_targets(scene, rng):
        if len(group.members) > 1:
            (kind, color), *_ = {(scene.shapes[n].kind, scene.shapes[n].color) for n in group.members}
            found += [
                Target(frozenset((n,)), f"the {word} {color} {kind}")
                for word, n in _extremes(scene, group.members)
            ]
    return found


def _name(scene: Scene, members: frozenset[int], rng: random.Random) -> str:
    names = list(_names(scene, members))
    by_kind = [name for name in names if not name.endswith(("shape", "shapes"))]
    return rng.choice(by_kind if rng.random() < _KIND_SHARE else names)


def _names(scene: Scene, members: frozenset[int]) -> Iterator[str]:
    """Every description with size, colour and kind, or without some of them, that fits these alone."""
    shape = scene.shapes[min(members)]
    choices = itertools.product((shape.size, ""), (shape.color, ""), (shape.kind, ""))
    for size, color, kind in choices:
        fitting = {n for n, other in enumerate(scene.shapes) if _fits(other, size, color, kind)}
        if fitting == members:
            yield _definite(size, color, kind or "shape", len(members))


def _fits(shape: Shape, size: str, color: str, kind: str) -> bool:
    return size in ("", shape.size) and color in ("", shape.color) and kind in ("", shape.kind)


def _definite(size: str, color: str, noun: str, count: int) -> str:
    _, _, bare = phrase(noun, count, color, size).partition(" ")
    return f"{_ALL[count]} {bare}" if count > 1 else f"the {bare}"


def _extremes(scene: Scene, members: frozenset[int]) -> Iterator[tuple[str, int]]:
    """Which of equal shapes lies clearly beyond the others in some direction."""
    for word, (towards_x, towards_y) in _EXTREMES.items():
        along = {n: towards_x * scene.shapes[n].x + towards_y * scene.shapes[n].y for n in members}
        second, first = sorted(members, key=lambda n: along[n])[-2:]
        if along[first] - along[second] > _CLEARLY:
            yield word, first
