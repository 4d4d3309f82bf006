"""Edits of scenes of the embedded world, drawn anew from what is known of them."""

from __future__ import annotations

import random

from jobs.curate.edit.operations.made import CannotEditError, Made
from jobs.curate.edit.operations.material import Material
from jobs.recipe.curation.edit import EditTask
from jobs.scenes.draw import png_bytes
from jobs.scenes.edits import draw_edit, edit_truth


def scene_allows(material: Material, task: EditTask, rng: random.Random) -> bool:
    """Whether a scene has room for an edit of a task, as `rng` draws it."""
    assert material.scene is not None
    return draw_edit(material.scene, task, rng) is not None


def make_scene_edit(material: Material, task: EditTask, rng: random.Random) -> Made:
    """An edit of a scene; the picture before is the original bytes.

    Raises:
        CannotEditError: with reason `no_room`.
    """
    assert material.scene is not None
    edit = draw_edit(material.scene, task, rng)
    if edit is None:
        raise CannotEditError("no_room", f"nothing in the scene allows {task}")
    after = png_bytes(edit.picture_after(material.side))
    return Made(material.data, after, edit.instruction, (material.sample_id,), edit_truth(edit))
