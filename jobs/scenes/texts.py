"""Short texts about scenes: what stands where, how many there are, and what follows.

Text number n of a seed is always the same.

Some are flawed on purpose, as texts of the web are, so that filters have something to find.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from jobs.scenes.captions import phrase
from jobs.scenes.truth import RELATIONS, groups_of, holds
from jobs.scenes.world import Scene, random_for, sample_scene

Flaw = Literal["repeated", "rewritten", "short", "symbols", "repeated_lines", "numbers"]
FLAWS: tuple[Flaw, ...] = ("repeated", "rewritten", "short", "symbols", "repeated_lines", "numbers")

FLAWED_SHARE = 0.1

_OPENINGS = ("Look at this picture.", "Here is a small picture.", "Imagine a drawing.", "This is a scene.")
_NUMBERS = ("no", "one", "two", "three", "four")
_RELATION_WORDS = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
}


@dataclass(frozen=True)
class SceneText:
    """A text, and what is wrong with it, if anything."""

    text: str
    flaw: Flaw | None


def write_text(seed: int, index: int) -> SceneText:
    """The text number `index` of a seed. One in ten is flawed; a repeated one copies an earlier text."""
    rng = random_for("text flaw", seed, index)
    if rng.random() >= FLAWED_SHARE:
        return SceneText(_sound(seed, index), None)
    flaw = rng.choice(FLAWS)
    if flaw in ("repeated", "rewritten"):
        original = _sound_before(seed, index)
        if original is None:
            return SceneText(_sound(seed, index), None)
        text = _sound(seed, original)
        return SceneText(text if flaw == "repeated" else _rewrite(text), flaw)
    return SceneText(_spoil(rng, flaw, _sound(seed, index)), flaw)


def _sound(seed: int, index: int) -> str:
    """Several scenes described, each in a paragraph of true sentences."""
    rng = random_for("text", seed, index)
    scenes = [sample_scene(seed, 10 * index + number) for number in range(rng.choice((3, 4)))]
    return "\n".join(_paragraph(rng, scene) for scene in scenes)


def _paragraph(rng: random.Random, scene: Scene) -> str:
    groups = groups_of(scene)
    names = [phrase(shape.kind, count, shape.color) for shape, count in groups]
    shown = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    sentences = [
        rng.choice(_OPENINGS),
        f"It shows {shown} on a {scene.background} background.",
        *_relations(scene),
        _count(rng, scene),
        _absent(rng, scene),
    ]
    return " ".join(sentences)


def _relations(scene: Scene) -> list[str]:
    """Where the first shape lies from each other one, where that is clear and the looks tell them apart."""
    first, *others = scene.shapes
    looks = Counter((shape.kind, shape.color) for shape in scene.shapes)
    if looks[first.kind, first.color] > 1:
        return []
    sentences = []
    for other in others:
        if looks[other.kind, other.color] > 1:
            continue
        for relation, words in _RELATION_WORDS.items():
            if relation in RELATIONS and holds(relation, first.x - other.x, first.y - other.y):
                sentences.append(f"The {first.color} {first.kind} is {words} the {other.color} {other.kind}.")
                break
    return sentences


def _count(rng: random.Random, scene: Scene) -> str:
    number = len(scene.shapes)
    noun = "shape" if number == 1 else "shapes"
    return rng.choice(
        (
            f"If you count the {noun}, you find {_NUMBERS[number]}.",
            f"How many shapes are there in all? The answer is {_NUMBERS[number]}.",
            f"That makes {_NUMBERS[number]} {noun} in the picture.",
        )
    )


def _absent(rng: random.Random, scene: Scene) -> str:
    """Something that is not there."""
    colors = {shape.color for shape in scene.shapes}
    color = rng.choice([c for c in ("red", "green", "blue", "yellow", "purple") if c not in colors])
    return f"There is nothing {color} in it, and that is true of the whole picture."


def _sound_before(seed: int, index: int) -> int | None:
    """The nearest text before this one that is sound."""
    for earlier in range(index - 1, max(-1, index - 20), -1):
        if random_for("text flaw", seed, earlier).random() >= FLAWED_SHARE:
            return earlier
    return None


def _rewrite(text: str) -> str:
    """The same text with one sentence more: a near copy."""
    return f"{text} This was written down again by somebody else."


def _spoil(rng: random.Random, flaw: Flaw, text: str) -> str:
    if flaw == "short":
        return text.split(".")[0] + "."
    if flaw == "symbols":
        return " ".join(f"# {word} ..." for word in text.split())
    if flaw == "repeated_lines":
        return "\n".join([text.splitlines()[0]] * 8)
    return " ".join(str(rng.randrange(10_000)) for _ in range(120))
