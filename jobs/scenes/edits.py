"""Edits of scenes with their truth, and wrong ones on purpose.

Whatever an instruction says is true, speaks of one shape (or of all that look alike), and can be seen:
`jobs.scenes.verify` bears the edit's claims out on the picture after, and refuses them on the one before.
Where a scene has no room for an edit of a task, or nothing to tell it by, there is none.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from jobs.recipe.curation.edit import TASKS, EditTask
from jobs.scenes.draw import draw, png_bytes
from jobs.scenes.editing import pictures, shapes
from jobs.scenes.editing.edit import SceneEdit
from jobs.scenes.truth import truth_of
from jobs.scenes.world import Scene, random_for, sample_scene

ALWAYS_WRONG = ("nothing", "scene")
"""Ways in which any edit can be wrong: nothing changed, or the picture after is of another scene. Further
ways are an edit's own `mistakes`: the wrong `shape` changed, or it has the wrong `color`."""

USUAL: dict[EditTask, float] = {"add": 4, "remove": 4, "replace": 4, "recolour": 2, "background": 2}
"""Weights of tasks in a source of edits, 1 where left out: as in public data, few tasks are most of it."""

_MAKERS: dict[EditTask, Callable[[Scene, random.Random], SceneEdit | None]] = {
    "add": shapes.add,
    "remove": shapes.remove,
    "replace": shapes.replace,
    "recolour": shapes.recolour,
    "move": shapes.move,
    "resize": shapes.resize,
    "background": pictures.background,
    "lighting": pictures.lighting,
    "zoom": pictures.zoom,
    "viewpoint": pictures.viewpoint,
    "text": pictures.text,
    "style": pictures.style,
}


@dataclass(frozen=True)
class EditSample:
    """Two pictures and an instruction as a source delivers them."""

    before: bytes
    after: bytes
    instruction: str
    task: EditTask
    truth: str
    """JSON with `task`, the truths `before` and `after` (the expected one), and `wrong`: null or how the
    picture after is wrong."""


def draw_edit(scene: Scene, task: EditTask, rng: random.Random) -> SceneEdit | None:
    """An edit of a task, or None where this scene allows none."""
    return _MAKERS[task](scene, rng)


def sample_edit(seed: int, index: int) -> SceneEdit:
    """Edit number `index` of the world `seed`: of the scene with this number, by the usual weights."""
    scene = sample_scene(seed, index)
    rng = random_for("edit", seed, index)
    # The largest of u ** (1 / weight) is each task's with probability in proportion to its weight.
    order = sorted(TASKS, key=lambda task: rng.random() ** (1 / USUAL.get(task, 1)), reverse=True)
    edits = (draw_edit(scene, task, rng) for task in order)
    return next(edit for edit in edits if edit is not None)


def make_edit(edit: SceneEdit, size: int, rng: random.Random, wrong: bool = False) -> EditSample:
    """The pictures of an edit, size x size pixels; if `wrong`, not what the instruction says."""
    ways = [*ALWAYS_WRONG, *edit.mistakes]
    way = rng.choice(ways) if wrong else None
    after = edit.picture_after(size) if way is None else draw(_spoilt(edit, way, rng), size)
    return EditSample(
        png_bytes(edit.picture_before(size)),
        png_bytes(after),
        edit.instruction,
        edit.task,
        edit_truth(edit, way),
    )


def edit_truth(edit: SceneEdit, wrong: str | None = None) -> str:
    """What is true of an edit, as one line of JSON."""
    truth = {
        "task": edit.task,
        "before": truth_of(edit.before).to_dict(),
        "after": edit.truth.to_dict(),
        "wrong": wrong,
    }
    return json.dumps(truth)


def _spoilt(edit: SceneEdit, way: str, rng: random.Random) -> Scene:
    if way == "nothing":
        return edit.before
    return edit.mistakes[way] if way in edit.mistakes else _another(edit, rng)


def _another(edit: SceneEdit, rng: random.Random) -> Scene:
    """A scene without any kind of shape that the picture after should have."""
    kinds = {shape.kind for shape in edit.after.shapes}
    while True:
        scene = sample_scene(rng.getrandbits(32), 0)
        if kinds.isdisjoint(shape.kind for shape in scene.shapes):
            return scene
