"""What an edit of a scene is, and how its claims and its instruction are put together."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from PIL import Image

from jobs.recipe.curation.edit import EditTask
from jobs.scenes.draw import draw
from jobs.scenes.truth import RELATIONS, Clause, Relation, Truth
from jobs.scenes.world import Scene, Shape

Painter = Callable[[Scene, int], Image.Image]
Look = tuple[str | None, str | None, str | None]
"""Kind, colour and size of a shape; None claims nothing."""

_CLEARLY = 0.2
_NO_FULL_STOP, _PLEASE = 0.15, 0.15


@dataclass(frozen=True)
class SceneEdit:
    """One edit of a scene."""

    task: EditTask
    instruction: str
    before: Scene
    after: Scene
    truth: Truth
    """Claims that the picture after bears out, and the one before does not."""
    paint: Painter = draw
    """How the scene after is drawn, at a size in pixels."""
    mistakes: Mapping[str, Scene] = field(default_factory=dict)
    """What carelessness would leave: another `shape` edited than told, or another `color` taken."""

    def picture_before(self, size: int) -> Image.Image:
        """The scene before, size x size pixels."""
        return draw(self.before, size)

    def picture_after(self, size: int) -> Image.Image:
        """What the instruction asks for, size x size pixels."""
        return self.paint(self.after, size)


def looks(scene: Scene) -> list[Look]:
    """Everything that is claimed of each shape."""
    return [(shape.kind, shape.color, shape.size) for shape in scene.shapes]


def claims(
    task: EditTask,
    shapes: Iterable[Look],
    background: str,
    relation: tuple[Look, Relation, Look] | None = None,
) -> Truth:
    """These shapes and no others on this background; one of them in a relation to another one."""
    counts = Counter(shapes)
    clauses = {
        look: Clause(kind=look[0], color=look[1], size=look[2], count=count) for look, count in counts.items()
    }
    if relation is not None:
        first, words, second = relation
        position = (words, list(clauses).index(second))
        clauses[first] = clauses[first].model_copy(update={"position": position})
    excluded = Clause(count=counts.total() + 1)
    return Truth(tag=task, include=tuple(clauses.values()), exclude=(excluded,), background=background)


def claims_of(task: EditTask, scene: Scene) -> Truth:
    """Claims of a scene drawn as it is."""
    return claims(task, looks(scene), scene.background)


def clearly(relation: Relation, first: Shape, second: Shape) -> bool:
    """Whether the relation of two shapes is beyond doubt: nobody would call it another."""
    along, across = _offsets(relation, first, second)
    return along >= _CLEARLY and abs(across) < 0.8 * along


def clearly_not(relation: Relation, first: Shape, second: Shape) -> bool:
    """Whether nobody would say that this is their relation."""
    return _offsets(relation, first, second)[0] <= 0.02


def say(rng: random.Random, *wordings: str) -> str:
    """One of several wordings of an instruction, as people write them."""
    text = rng.choice(wordings)
    if rng.random() < _PLEASE:
        text = f"Please {text[0].lower()}{text[1:]}"
    return text if rng.random() < _NO_FULL_STOP else f"{text}."


def _offsets(relation: Relation, first: Shape, second: Shape) -> tuple[float, float]:
    dx, dy = first.x - second.x, first.y - second.y
    towards_x, towards_y = RELATIONS[relation]
    return dx * towards_x + dy * towards_y, dx * towards_y - dy * towards_x
