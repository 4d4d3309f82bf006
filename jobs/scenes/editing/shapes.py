"""Edits of single shapes, or of all that look alike: add, remove, replace, recolour, move, resize."""

from __future__ import annotations

import random
from collections.abc import Iterator

from jobs.scenes.captions import phrase
from jobs.scenes.editing.changes import (
    added,
    changed,
    elsewhere,
    has_room,
    in_cells,
    removed,
    resized,
    swapped,
)
from jobs.scenes.editing.edit import SceneEdit, claims, claims_of, clearly, clearly_not, looks, say
from jobs.scenes.editing.refer import Target, group_targets, placed_targets, single_targets
from jobs.scenes.truth import RELATIONS, Relation
from jobs.scenes.world import COLORS, KINDS, MAX_SHAPES, SIZES, Scene, Shape

RELATION_WORDS: dict[Relation, str] = {
    "left of": "to the left of",
    "right of": "to the right of",
    "above": "above",
    "below": "below",
}
_PLACES = (
    ("at the top left", "at the top", "at the top right"),
    ("on the left", "in the middle", "on the right"),
    ("at the bottom left", "at the bottom", "at the bottom right"),
)
_ONE_MORE, _SAME_COLOR = 0.25, 0.6


def add(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """One more shape, of looks that are new, or another one of those there are."""
    if len(scene.shapes) == MAX_SHAPES:
        return None
    like = rng.choice(scene.shapes) if rng.random() < _ONE_MORE else None
    kind, color, size = (like.kind, like.color, like.size) if like else _new_looks(scene, rng)
    shape = Shape(kind, color, size, 0.5, 0.5, SIZES[size])
    free = [place for place in in_cells(shape) if has_room(added(scene, place))]
    if not free:
        return None
    shape = rng.choice(free)
    after = added(scene, shape)
    what = f"another {color} {kind}" if like else phrase(kind, color=color, size=size)
    where = _where(scene, shape, rng)
    verb = rng.choice(("Add", "Add", "Put", "Draw", "Place"))
    other = _other_color(scene, shape, rng)
    return SceneEdit(
        "add",
        say(rng, f"{verb} {what} {where}"),
        scene,
        after,
        claims_of("add", after),
        mistakes={"color": changed(after, [len(scene.shapes)], color=other)},
    )


def remove(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Fewer shapes."""
    target, other = _choose(scene, rng, placed=True)
    after = removed(scene, target.members)
    text = say(
        rng,
        f"Remove {target.words}",
        f"Delete {target.words}",
        f"Erase {target.words}",
        f"Take {target.words} away",
        f"Get rid of {target.words}",
    )
    mistakes = {"shape": removed(scene, other.members)} if other else {}
    return SceneEdit("remove", text, scene, after, claims_of("remove", after), mistakes=mistakes)


def replace(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Shapes of another kind in the same places."""
    target, other = _choose(scene, rng, placed=True)
    shape = scene.shapes[min(target.members)]
    color = shape.color if rng.random() < _SAME_COLOR else rng.choice(list(COLORS))
    kinds = [kind for kind in KINDS if kind != shape.kind and not _shown(scene, kind, color)]
    if not kinds:
        return None
    kind = rng.choice(kinds)
    after = changed(scene, target.members, kind=kind, color=color)
    new = phrase(kind, len(target.members), color)
    text = say(
        rng,
        f"Replace {target.words} with {new}",
        f"Turn {target.words} into {new}",
        f"Change {target.words} to {new}",
        f"Swap {target.words} for {new}",
    )
    wrong = _other_color(scene, shape, rng)
    mistakes = {"color": changed(scene, target.members, kind=kind, color=wrong)} if wrong != color else {}
    if other:
        mistakes["shape"] = changed(scene, other.members, kind=kind, color=color)
    return SceneEdit("replace", text, scene, after, claims_of("replace", after), mistakes=mistakes)


def recolour(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Shapes in another colour."""
    target, other = _choose(scene, rng, placed=True)
    shape = scene.shapes[min(target.members)]
    free = [c for c in COLORS if c != shape.color and not _shown(scene, shape.kind, c)]
    color, wrong = rng.sample(free, 2)
    after = changed(scene, target.members, color=color)
    text = say(
        rng,
        f"Make {target.words} {color}",
        f"Paint {target.words} {color}",
        f"Change the color of {target.words} to {color}",
        f"Color {target.words} {color}",
    )
    mistakes = {"color": changed(scene, target.members, color=wrong)}
    if other and scene.shapes[min(other.members)].color != color:
        mistakes["shape"] = changed(scene, other.members, color=color)
    return SceneEdit("recolour", text, scene, after, claims_of("recolour", after), mistakes=mistakes)


def resize(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """Shapes of another size."""
    target, other = _choose(scene, rng, placed=False)
    old = scene.shapes[min(target.members)].size
    after = {size: resized(scene, target.members, size) for size in SIZES if size != old}
    sizes = [size for size, found in after.items() if has_room(found)]
    if not sizes:
        return None
    size = rng.choice(sizes)
    verb = "Enlarge" if SIZES[size] > SIZES[old] else "Shrink"
    text = say(
        rng,
        f"Make {target.words} {size}",
        f"Change the size of {target.words} to {size}",
        f"{verb} {target.words} so that {target.it_is} {size}",
    )
    mistakes = {}
    if other and scene.shapes[min(other.members)].size != size:
        mistakes["shape"] = resized(scene, other.members, size)
    truth = claims_of("resize", after[size])
    return SceneEdit("resize", text, scene, after[size], truth, mistakes=mistakes)


def move(scene: Scene, rng: random.Random) -> SceneEdit | None:
    """A shape on another side of a shape that stays."""
    singles = single_targets(scene, rng)
    if len(singles) < 2:
        return None
    target, fixed = rng.sample(singles, 2)
    (number,), (reference,) = target.members, fixed.members
    goals = list(_goals(scene, number, reference))
    if not goals:
        return None
    relation, after = rng.choice(goals)
    seen = looks(after)
    truth = claims("move", seen, scene.background, (seen[number], relation, seen[reference]))
    if after.shapes[reference] != scene.shapes[reference]:
        both = f"{target.words} and {fixed.words}"
        text = say(rng, f"Swap {both}", f"Exchange {both}", f"Let {both} change places")
        return SceneEdit("move", text, scene, after, truth)
    what = f"{target.words} {RELATION_WORDS[relation]} {fixed.words}"
    text = say(rng, f"Move {what}", f"Put {what}", f"Place {what}")
    return SceneEdit("move", text, scene, after, truth)


def _goals(scene: Scene, number: int, reference: int) -> Iterator[tuple[Relation, Scene]]:
    """Scenes in which a shape has moved, or swapped with another, and has a new relation to it."""
    moved = (changed(scene, [number], x=s.x, y=s.y) for s in elsewhere(scene.shapes[number]))
    for after in filter(has_room, [*moved, swapped(scene, number, reference)]):
        for relation in RELATIONS:
            new = clearly_not(relation, scene.shapes[number], scene.shapes[reference])
            if new and clearly(relation, after.shapes[number], after.shapes[reference]):
                yield relation, after


def _choose(scene: Scene, rng: random.Random, placed: bool) -> tuple[Target, Target | None]:
    """What is edited, and another group that could be edited by mistake."""
    groups = group_targets(scene, rng)
    target = rng.choice(groups + (placed_targets(scene, rng) if placed else []))
    others = [group for group in groups if not group.members & target.members]
    return target, rng.choice(others) if others else None


def _shown(scene: Scene, kind: str, color: str) -> bool:
    return any((s.kind, s.color) == (kind, color) for s in scene.shapes)


def _new_looks(scene: Scene, rng: random.Random) -> tuple[str, str, str]:
    free = [(kind, color) for kind in KINDS for color in COLORS if not _shown(scene, kind, color)]
    kind, color = rng.choice(free)
    return kind, color, rng.choice(list(SIZES))


def _other_color(scene: Scene, shape: Shape, rng: random.Random) -> str:
    """Another colour for a shape that no shape of its kind has."""
    return rng.choice([c for c in COLORS if c != shape.color and not _shown(scene, shape.kind, c)])


def _where(scene: Scene, shape: Shape, rng: random.Random) -> str:
    """Where the shape stands: from a shape that is there, or in the picture."""
    sides = [
        f"{RELATION_WORDS[relation]} {target.words}"
        for target in single_targets(scene, rng)
        for relation in RELATIONS
        if clearly(relation, shape, scene.shapes[min(target.members)])
    ]
    return rng.choice([_PLACES[int(shape.y * 3)][int(shape.x * 3)], *sides[:1]])
