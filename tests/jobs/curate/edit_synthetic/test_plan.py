"""Which edits are planned: tasks that pictures allow, in the target's shares, by ids and seed alone."""

from __future__ import annotations

from collections import Counter

import pytest
from curated_pictures import EVEN, cutouts, photos, publish, scene

from jobs.curate.edit.operations.material import Material, read_materials
from jobs.curate.edit.operations.plan import plan_edits
from jobs.curate.edit.operations.whole import WHOLE_TASKS
from jobs.recipe.curation.edit import TASKS


@pytest.fixture(scope="module")
def materials(tmp_path_factory: pytest.TempPathFactory) -> list[Material]:
    """A tar with 40 scenes, 12 cut-outs and 12 photos."""
    pairs = [*map(scene, range(40)), *cutouts(12), *photos(12)]
    folder = publish(tmp_path_factory.mktemp("plan"), [pairs])
    return read_materials(folder, "data/000000.tar", 1_000_000)


def test_pictures_are_told_apart(materials: list[Material]) -> None:
    assert Counter(one.kind for one in materials) == {"scene": 40, "cutout": 12, "picture": 12}


@pytest.mark.parametrize("per_picture", [0.0, 0.4, 1.0, 2.5])
def test_every_picture_has_its_number_of_edits(materials: list[Material], per_picture: float) -> None:
    edits = Counter(one.material.sample_id for one in plan_edits(materials, per_picture, EVEN, 0))
    assert all(int(per_picture) <= edits[one.sample_id] <= per_picture + 1 for one in materials)
    assert edits.total() == pytest.approx(per_picture * len(materials), abs=12)


def test_tasks_have_equal_shares_where_pictures_allow_it(materials: list[Material]) -> None:
    tasks = Counter(one.task for one in plan_edits(materials, 1.5, EVEN, 0))
    assert set(tasks) == set(TASKS)
    assert max(tasks.values()) - min(tasks.values()) <= 1


def test_weights_decide_the_shares(materials: list[Material]) -> None:
    target = {"recolour": 3.0, "style": 1.0, "zoom": 0.0}
    tasks = Counter(one.task for one in plan_edits(materials, 1.0, target, 0))
    assert set(tasks) == {"recolour", "style"}
    assert tasks["style"] / tasks.total() == pytest.approx(0.25, abs=0.02)


def test_no_picture_has_a_task_twice_or_one_it_does_not_allow(materials: list[Material]) -> None:
    planned = plan_edits(materials, 12, EVEN, 0)
    pairs = [(one.material.sample_id, one.task) for one in planned]
    assert len(set(pairs)) == len(pairs)
    assert len({one.source for one in planned}) == len(planned)
    assert {one.task for one in planned if one.material.kind == "picture"} == WHOLE_TASKS


def test_the_plan_is_of_ids_and_seed(materials: list[Material]) -> None:
    first, other = (
        [(one.source, one.task) for one in plan_edits(materials, 1.0, EVEN, seed)] for seed in (0, 1)
    )
    backwards = plan_edits(materials[::-1], 1.0, EVEN, 0)
    assert sorted(first) == sorted((one.source, one.task) for one in backwards)
    assert first != other
