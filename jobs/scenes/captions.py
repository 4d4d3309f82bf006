"""Captions of scenes: short or long, with or without sizes and backgrounds, and never untrue."""

from __future__ import annotations

import random

from jobs.scenes.truth import groups_of, relation_between
from jobs.scenes.world import Scene, Shape, random_for

_FRAMES = ("a photo of {}", "a photo of {}", "{}", "a picture of {}", "an image of {}", "a drawing of {}")
_RELATION_WORDS = {
    "left of": ("left of", "to the left of"),
    "right of": ("right of", "to the right of"),
    "above": ("above",),
    "below": ("below",),
}
_NUMBERS = {2: "two", 3: "three", 4: "four"}
_COLOR_SHARE = 0.75
_SIZE_SHARE = 0.4
_BACKGROUND_SHARE = 0.4
_MIDDLE_TOLD_SHARE = 0.2
"""How often it is said that a shape stands in the middle; elsewhere, its place is always told."""


def caption(scene: Scene, seed: int, index: int) -> str:
    """A caption of the scene; its wording is a pure function of (seed, index)."""
    rng = random_for("caption", seed, index)
    frame = rng.choice(_FRAMES)
    text = frame.format(_describe(rng, scene))
    if rng.random() < _BACKGROUND_SHARE:
        text += f" on a {scene.background} background"
    return text


def phrase(kind: str, count: int = 1, color: str = "", size: str = "") -> str:
    """A noun phrase, such as `an orange star` or `two small red crosses`."""
    plural = kind + ("es" if kind.endswith("s") else "s")
    words = [word for word in (size, color, kind if count == 1 else plural) if word]
    article = "an" if words[0][0] in "aeiou" else "a"
    number = article if count == 1 else _NUMBERS.get(count, str(count))
    return " ".join([number, *words])


def _describe(rng: random.Random, scene: Scene) -> str:
    groups = groups_of(scene)
    phrases = _phrases(rng, groups)
    if len(scene.shapes) == 1:
        return phrases[0] + _place_words(rng, scene.shapes[0])
    if len(phrases) == 1:
        return phrases[0]
    if len(scene.shapes) == 2 and rng.random() < 0.6:
        return _relate(rng, scene, phrases)
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]


def _phrases(rng: random.Random, groups: list[tuple[Shape, int]]) -> list[str]:
    """One phrase per group. Colours are left out only where the kinds alone tell the groups apart."""
    kinds_differ = len({shape.kind for shape, _ in groups}) == len(groups)
    with_color = rng.random() < _COLOR_SHARE or not kinds_differ
    with_size = rng.random() < _SIZE_SHARE
    return [
        phrase(shape.kind, count, shape.color if with_color else "", shape.size if with_size else "")
        for shape, count in groups
    ]


def _relate(rng: random.Random, scene: Scene, phrases: list[str]) -> str:
    """Where one of two shapes lies from the other, told from either side."""
    first, second = rng.sample((0, 1), 2)
    relation = relation_between(scene.shapes[first], scene.shapes[second])
    return f"{phrases[first]} {rng.choice(_RELATION_WORDS[relation])} {phrases[second]}"


def _place_words(rng: random.Random, shape: Shape) -> str:
    row = ("top", "", "bottom")[int(shape.y * 3)]
    column = ("left", "", "right")[int(shape.x * 3)]
    place = " ".join(filter(None, (row, column)))
    if not place and rng.random() >= _MIDDLE_TOLD_SHARE:
        return ""
    return f" at the {place or 'center'}"
