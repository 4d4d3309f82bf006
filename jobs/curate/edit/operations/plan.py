"""Which edits are made of which pictures: the tasks a picture allows, towards the target's weights.

The quota of each task is its weight's share of all planned edits, by largest remainders, among the tasks
that some picture of the tar allows. Pictures that allow few tasks choose first, each the task with most of
its quota left. What is decided depends on the tar alone: on the pictures' ids, the seed and the weights.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from infra.document import format_id
from jobs.curate.edit.operations.cutouts import CUTOUT_TASKS
from jobs.curate.edit.operations.material import Kind, Material
from jobs.curate.edit.operations.scenes import scene_allows
from jobs.curate.edit.operations.whole import WHOLE_TASKS
from jobs.curate.t2i.balance import share_out
from jobs.recipe.curation.edit import TASKS, EditTask


@dataclass(frozen=True)
class Planned:
    """One edit to be made: number `number` of a picture."""

    material: Material
    number: int
    task: EditTask

    @property
    def source(self) -> str:
        """Its place: unique, as the picture's is."""
        return f"{self.material.source}#edit-{self.number}"

    @property
    def maker(self) -> Kind:
        """How it is made."""
        is_whole = self.material.kind == "cutout" and self.task not in CUTOUT_TASKS
        return "picture" if is_whole else self.material.kind


def plan_edits(
    materials: Sequence[Material], per_picture: float, weights: Mapping[str, float], seed: int
) -> list[Planned]:
    """The edits to be made of the pictures of one tar, in their order. No picture has a task twice."""
    possible = {one.sample_id: _tasks(one, weights, seed) for one in materials}
    slots = [
        (one, number)
        for one in materials
        for number in range(min(_edits(one, per_picture, seed), len(possible[one.sample_id])))
    ]
    wanted: dict[str, float] = {
        task: weights[task] for task in TASKS if any(task in tasks for tasks in possible.values())
    }
    left: dict[str, int] = share_out(len(slots), wanted) if wanted else {}
    order = sorted(slots, key=lambda slot: (len(possible[slot[0].sample_id]), _lot(seed, slot[0], slot[1])))
    chosen: dict[tuple[int, int], EditTask] = {}
    for material, number in order:
        tasks = possible[material.sample_id]
        task = max(tasks, key=lambda task: (left[task], _lot(seed, material, task)))
        possible[material.sample_id] = tasks - {task}
        left[task] -= 1
        chosen[material.sample_id, number] = task
    return [Planned(one, number, chosen[one.sample_id, number]) for one, number in slots]


def edit_rng(seed: int, material: Material, task: EditTask) -> random.Random:
    """What decides the details of a picture's edit of a task."""
    return random.Random(f"synthetic {seed} {format_id(material.sample_id)} {task}")


def _tasks(material: Material, weights: Mapping[str, float], seed: int) -> frozenset[EditTask]:
    """The tasks a picture allows that have weight."""
    allowed: Iterable[EditTask] = TASKS
    if material.kind == "scene":
        allowed = [task for task in TASKS if scene_allows(material, task, edit_rng(seed, material, task))]
    elif material.kind == "picture":
        allowed = WHOLE_TASKS
    return frozenset(task for task in allowed if weights.get(task, 0.0) > 0)


def _edits(material: Material, per_picture: float, seed: int) -> int:
    """How many edits of a picture are planned."""
    whole = int(per_picture)
    lot = int.from_bytes(_lot(seed, material, "count"), "big") / 2**64
    return whole + (lot < per_picture - whole)


def _lot(seed: int, material: Material, what: object) -> bytes:
    text = f"{seed}/{material.sample_id}/{what}"
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
