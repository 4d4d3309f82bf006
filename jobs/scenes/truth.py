"""What is true of a picture, as clauses that can be checked one by one (after GenEval, arXiv 2310.11513).

    {"tag": "position", "include": [{"class": "star", "count": 1, "color": "green"},
     {"class": "circle", "count": 1, "color": "red", "position": ["left of", 0]}],
     "exclude": [{"count": 3}], "background": "white"}

`include` asks for at least `count` such shapes, `exclude` for fewer than `count`. A field left out asks
nothing: the exclusion above means that no third shape of any kind is there.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from jobs.scenes.world import Scene, Shape

Relation = Literal["left of", "right of", "above", "below"]

RELATIONS: dict[Relation, tuple[int, int]] = {
    "left of": (-1, 0),
    "right of": (1, 0),
    "above": (0, -1),
    "below": (0, 1),
}
"""The direction in which the first shape lies from the second: x to the right, y downwards."""

_MIN_OFFSET = 0.1


class Clause(BaseModel):
    """Shapes of one description."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    kind: str | None = Field(default=None, validation_alias="class", serialization_alias="class")
    count: int = Field(default=1, ge=1)
    color: str | None = None
    size: str | None = None
    position: tuple[Relation, int] | None = None
    """Where these shapes lie from those of the clause with this number in `include`."""


class Truth(BaseModel):
    """Everything that is claimed of one picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tag: str
    include: tuple[Clause, ...]
    exclude: tuple[Clause, ...] = ()
    background: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; `Truth.model_validate` reads it back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def to_json(self) -> str:
        """One line of JSON; `Truth.model_validate_json` reads it back."""
        return self.model_dump_json(by_alias=True, exclude_none=True)


def holds(relation: Relation, dx: float, dy: float) -> bool:
    """Whether an offset between two centres, in shares of the side, is clearly of this relation.

    As in GenEval: the offset is no accident, and lies within 60 degrees of the direction.
    """
    towards_x, towards_y = RELATIONS[relation]
    along = dx * towards_x + dy * towards_y
    return along > _MIN_OFFSET and along > 0.5 * math.hypot(dx, dy)


def relation_between(first: Shape, second: Shape) -> Relation:
    """The relation that describes best where the first shape lies from the second."""
    dx, dy = first.x - second.x, first.y - second.y
    return max(RELATIONS, key=lambda name: dx * RELATIONS[name][0] + dy * RELATIONS[name][1])


def groups_of(scene: Scene) -> list[tuple[Shape, int]]:
    """The scene's shapes by looks, in the order of their first appearance: one of each, and how many."""
    counts = Counter((s.kind, s.color) for s in scene.shapes)
    first = {(s.kind, s.color): s for s in reversed(scene.shapes)}
    return [(first[looks], count) for looks, count in counts.items()]


def truth_of(scene: Scene) -> Truth:
    """Everything that can be said of a scene: looks, sizes, counts, the relation of two, the background."""
    groups = groups_of(scene)
    include = [Clause(kind=s.kind, color=s.color, size=s.size, count=count) for s, count in groups]
    if len(scene.shapes) == 2 and len(groups) == 2:
        relation = relation_between(scene.shapes[1], scene.shapes[0])
        include[1] = include[1].model_copy(update={"position": (relation, 0)})
    return Truth(
        tag=_tag(scene, len(groups)),
        include=tuple(include),
        exclude=(Clause(count=len(scene.shapes) + 1),),
        background=scene.background,
    )


def _tag(scene: Scene, groups: int) -> str:
    if len(scene.shapes) == 1:
        return "single_object"
    if groups == 1:
        return "counting"
    return "position" if len(scene.shapes) == 2 else "color_attr"
