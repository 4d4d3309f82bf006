"""Fixed prompts that a trained model draws, with what must be true of the pictures (after GenEval)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from jobs.scenes.captions import phrase
from jobs.scenes.truth import Clause, Relation, Truth, holds
from jobs.scenes.world import CENTRES, COLORS, KINDS, MAX_SHAPES


@dataclass(frozen=True)
class Prompt:
    """A text, and the truth that its pictures are held to."""

    text: str
    truth: Truth


Look = tuple[str, str]
"""Colour and kind; an empty colour asks nothing."""

_COLORED: list[Look] = [
    ("red", "circle"),
    ("orange", "square"),
    ("yellow", "star"),
    ("green", "triangle"),
    ("cyan", "cross"),
    ("blue", "square"),
    ("purple", "circle"),
    ("pink", "star"),
]
_PAIRS = [("circle", "square"), ("triangle", "star"), ("cross", "circle"), ("square", "star")]
_COUNTS = [(2, "circle"), (3, "square"), (2, "star"), (4, "triangle")]
_POSITIONS: list[tuple[Look, Relation, Look]] = [
    (("red", "circle"), "left of", ("blue", "square")),
    (("green", "star"), "right of", ("orange", "circle")),
    (("yellow", "square"), "above", ("purple", "triangle")),
    (("pink", "cross"), "below", ("cyan", "star")),
]
_COLOR_PAIRS: list[tuple[Look, Look]] = [
    (("red", "circle"), ("blue", "square")),
    (("green", "star"), ("purple", "cross")),
    (("yellow", "triangle"), ("pink", "circle")),
    (("cyan", "square"), ("orange", "star")),
]


def fixed_prompts() -> list[Prompt]:
    """All prompts, always in this order: single_object, colors, two_object, counting, position, color_attr.

    Every prompt names all that its picture holds: a further shape makes the picture wrong.
    """
    return [
        *(_prompt("single_object", [("", kind)]) for kind in KINDS),
        *(_prompt("colors", [look]) for look in _COLORED),
        *(_prompt("two_object", [("", first), ("", second)]) for first, second in _PAIRS),
        *(_counting_prompt(count, kind) for count, kind in _COUNTS),
        *(_prompt("position", [first, second], relation) for first, relation, second in _POSITIONS),
        *(_prompt("color_attr", list(pair)) for pair in _COLOR_PAIRS),
    ]


def chance_level(tag: str) -> float:
    """How often a prompt of this tag is met by a picture of the world drawn without reading the prompt.

    The picture is granted the right number of shapes, except where the number is what is asked; kinds,
    colours and cells are drawn uniformly. A model scores above this only if it follows the prompt.

    Raises:
        ValueError: there are no prompts of this tag.
    """
    kind = 1 / len(KINDS)
    look = kind / len(COLORS)
    levels = {
        "single_object": kind,
        "colors": look,
        "two_object": 2 * kind**2,
        "counting": kind / MAX_SHAPES,
        "position": 2 * look**2 * _chance_of_relation(),
        "color_attr": 2 * look**2,
    }
    if tag not in levels:
        raise ValueError(f"no prompts of tag {tag!r}; tags are {', '.join(levels)}")
    return levels[tag]


def _prompt(tag: str, looks: list[Look], relation: Relation | None = None) -> Prompt:
    phrases = [phrase(kind, color=color) for color, kind in looks]
    clauses = [Clause(kind=kind, color=color or None) for color, kind in looks]
    if relation is not None:
        clauses[0] = clauses[0].model_copy(update={"position": (relation, 1)})
    text = f" {relation or 'and'} ".join(phrases)
    return Prompt(f"a photo of {text}", _only(tag, clauses))


def _counting_prompt(count: int, kind: str) -> Prompt:
    return Prompt(f"a photo of {phrase(kind, count)}", _only("counting", [Clause(kind=kind, count=count)]))


def _only(tag: str, clauses: list[Clause]) -> Truth:
    """These shapes and no others."""
    total = sum(clause.count for clause in clauses)
    return Truth(tag=tag, include=tuple(clauses), exclude=(Clause(count=total + 1),))


def _chance_of_relation() -> float:
    """Share of the ordered pairs of cells of which the first is clearly left of the second."""
    cells = itertools.permutations(itertools.product(CENTRES, CENTRES), 2)
    met = [holds("left of", a[0] - b[0], a[1] - b[1]) for a, b in cells]
    return sum(met) / len(met)
