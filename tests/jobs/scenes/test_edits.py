"""Edits of scenes: the words fit one change and no other, and the verifier tells it from every wrong one."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jobs.recipe.curation.edit import TASKS, EditTask
from jobs.recipe.sources import SceneEditsSource
from jobs.scenes.draw import draw
from jobs.scenes.editing.edit import SceneEdit
from jobs.scenes.edits import EditSample, draw_edit, make_edit, sample_edit
from jobs.scenes.truth import Truth, truth_of
from jobs.scenes.verify import verify
from jobs.scenes.world import COLORS, KINDS, SIZES, Scene, random_for, sample_scene
from jobs.sources.discover import list_shards
from jobs.sources.read import read_edits
from jobs.sources.scene_edits import CARELESS, wrong_shares

SEEDS = st.integers(0, 2**31)
EXTREMES = {
    "leftmost": lambda s: -s.x,
    "rightmost": lambda s: s.x,
    "highest": lambda s: -s.y,
    "lowest": lambda s: s.y,
}
ADJECTIVES = "|".join([*EXTREMES, *SIZES, *COLORS])
DESCRIPTION = re.compile(rf"(the|both|all three|all four) ((?:(?:{ADJECTIVES}) )*)(shape|{'|'.join(KINDS)})")
FEW = settings(max_examples=25)


def edit_of(task: EditTask, seed: int) -> SceneEdit:
    """The first edit of a task in the scenes of a seed."""
    found = (draw_edit(sample_scene(seed, n), task, random_for("test", seed, n)) for n in itertools.count())
    return next(edit for edit in found if edit is not None)


def spoken_of(instruction: str, scene: Scene) -> list[set[int]]:
    """The shapes that each description in an instruction fits, read word by word."""
    found = []
    for _, words, noun in DESCRIPTION.findall(instruction.lower()):
        adjectives = words.split()
        fitting = {
            n
            for n, s in enumerate(scene.shapes)
            if all(a in (s.size, s.color) for a in adjectives if a not in EXTREMES)
            and noun in ("shape", s.kind)
        }
        for word in set(adjectives) & EXTREMES.keys():
            fitting = {max(fitting, key=lambda n: EXTREMES[word](scene.shapes[n]))}
        found.append(fitting)
    return found


def changed_shapes(edit: SceneEdit) -> set[int]:
    """Numbers of the shapes before that are not the same after."""
    if len(edit.after.shapes) < len(edit.before.shapes):
        return {n for n, shape in enumerate(edit.before.shapes) if shape not in edit.after.shapes}
    pairs = zip(edit.before.shapes, edit.after.shapes, strict=False)
    return {n for n, (before, after) in enumerate(pairs) if before != after}


@pytest.mark.parametrize("task", TASKS)
@FEW
@given(seed=SEEDS)
def test_the_claims_hold_after_the_edit_and_not_before(task: EditTask, seed: int) -> None:
    edit = edit_of(task, seed)
    assert verify(edit.picture_after(64), edit.truth).passed
    assert not verify(edit.picture_before(64), edit.truth).passed


@pytest.mark.parametrize("task", ["remove", "replace", "recolour", "resize"])
@FEW
@given(seed=SEEDS)
def test_an_instruction_speaks_of_exactly_the_shapes_that_change(task: EditTask, seed: int) -> None:
    edit = edit_of(task, seed)
    assert spoken_of(edit.instruction, edit.before)[0] == changed_shapes(edit)


@FEW
@given(seed=SEEDS)
def test_a_move_names_the_moved_shape_and_where_it_is_then(seed: int) -> None:
    edit = edit_of("move", seed)
    (first,), (second,) = spoken_of(edit.instruction, edit.before)
    shape, other = edit.after.shapes[first], edit.after.shapes[second]
    if " and " in edit.instruction:
        assert changed_shapes(edit) == {first, second}
        return
    assert changed_shapes(edit) == {first}
    dx, dy = shape.x - other.x, shape.y - other.y
    sides = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}
    (said,) = [distance for words, distance in sides.items() if words in edit.instruction]
    assert said == max(sides.values())


FIELDS: dict[EditTask, set[str]] = {
    "remove": set(),
    "replace": {"kind", "color"},
    "recolour": {"color"},
    "resize": {"size", "side", "x", "y"},
    "move": {"x", "y"},
    "background": set(),
    "lighting": set(),
    "text": set(),
    "style": set(),
    "viewpoint": {"x", "y"},
}


@pytest.mark.parametrize("task", FIELDS)
@FEW
@given(seed=SEEDS)
def test_nothing_else_changes(task: EditTask, seed: int) -> None:
    edit = edit_of(task, seed)
    pairs = zip(edit.before.shapes, edit.after.shapes, strict=False) if task != "remove" else ()
    different = {f for a, b in pairs for f in vars(a) if getattr(a, f) != getattr(b, f)}
    assert different <= FIELDS[task]
    assert (edit.after.background != edit.before.background) == (task == "background")
    assert task == "remove" or len(edit.after.shapes) == len(edit.before.shapes)


@FEW
@given(seed=SEEDS)
def test_what_is_added_is_what_the_words_say(seed: int) -> None:
    edit = edit_of("add", seed)
    *old, new = edit.after.shapes
    assert tuple(old) == edit.before.shapes
    assert f"{new.color} {new.kind}" in edit.instruction
    like = [s for s in old if (s.kind, s.color) == (new.kind, new.color)]
    assert ("another" in edit.instruction) == bool(like)
    assert new.size in edit.instruction or new.size == like[0].size


@FEW
@given(seed=SEEDS)
def test_new_colors_kinds_sizes_and_backgrounds_are_told(seed: int) -> None:
    for task, field in (("recolour", "color"), ("replace", "kind"), ("resize", "size")):
        edit = edit_of(task, seed)
        (value,) = {getattr(edit.after.shapes[n], field) for n in changed_shapes(edit)}
        assert value in edit.instruction
    edit = edit_of("background", seed)
    assert edit.after.background in edit.instruction


@FEW
@given(seed=SEEDS)
def test_zooming_in_brings_the_named_shape_to_the_middle(seed: int) -> None:
    edit = edit_of("zoom", seed)
    for (number,) in spoken_of(edit.instruction, edit.before):
        shape = edit.before.shapes[number]
        (near,) = [s for s in edit.after.shapes if (s.kind, s.color) == (shape.kind, shape.color)]
        assert (near.x, near.y, near.size) == (0.5, 0.5, "large")
        assert shape.size != "large"


@FEW
@given(seed=SEEDS, task=st.sampled_from(list(TASKS)))
def test_every_wrong_picture_is_found_out(seed: int, task: EditTask) -> None:
    edit = edit_of(task, seed)
    for wrong in ["nothing", "scene", *edit.mistakes]:
        spoilt = _wrong_sample(edit, wrong, seed)
        assert json.loads(spoilt.truth)["wrong"] == wrong
        assert not verify(Image.open(io.BytesIO(spoilt.after)), edit.truth).passed


def _wrong_sample(edit: SceneEdit, wrong: str, seed: int) -> EditSample:
    """A sample of this edit that is wrong in this way."""
    samples = (make_edit(edit, 64, random_for("wrong", seed, n), wrong=True) for n in itertools.count())
    return next(sample for sample in samples if json.loads(sample.truth)["wrong"] == wrong)


def test_a_sample_is_a_function_of_seed_and_index() -> None:
    def one(index: int) -> EditSample:
        return make_edit(sample_edit(4, index), 64, random_for("w", 4, index), wrong=index % 2 == 0)

    assert [one(n) for n in range(12)] == [one(n) for n in reversed(range(12))][::-1]
    assert len({one(n).after for n in range(12)}) == 12


def test_the_truth_has_both_scenes() -> None:
    edit = edit_of("recolour", 1)
    truth = json.loads(make_edit(edit, 64, random_for("t", 0, 0)).truth)
    assert truth["task"] == "recolour"
    assert truth["wrong"] is None
    assert Truth.model_validate(truth["before"]) == truth_of(edit.before)
    assert verify(draw(edit.after, 128), Truth.model_validate(truth["after"])).passed


SOURCE = SceneEditsSource(count=600, shard_records=200, wrong=0.05, seed=3)


@pytest.fixture(scope="module")
def records() -> list:
    return [r for shard in list_shards("edit", SOURCE) for r in read_edits(SOURCE, shard, 10**9)]


def test_a_source_gives_edits_with_common_tasks_in_the_majority(records: list) -> None:
    assert len({record.source for record in records}) == SOURCE.count
    tasks = Counter(record.task for record in records)
    assert set(tasks) == set(TASKS)
    assert tasks["add"] + tasks["remove"] + tasks["replace"] > SOURCE.count / 2
    assert {r.subset for r in records if r.subset != CARELESS} == {f"clean-{t}" for t in TASKS.values()}


def test_the_careless_subset_has_most_of_the_wrong_edits(records: list) -> None:
    wrong = Counter(r.subset == CARELESS for r in records if json.loads(r.truth)["wrong"])
    assert 0.03 <= wrong.total() / SOURCE.count <= 0.07
    assert wrong[True] > 3 * wrong[False]


@pytest.mark.parametrize("wrong", [0.0, 0.02, 0.25, 0.6, 1.0])
def test_wrong_edits_come_to_their_share(wrong: float) -> None:
    careless, clean = wrong_shares(wrong)
    assert 0.2 * careless + 0.8 * clean == pytest.approx(wrong)
    assert 0 <= clean <= careless <= 1


def test_wanted_records_are_the_same_alone(records: list) -> None:
    (shard, *_) = list_shards("edit", SOURCE)
    wanted = records[17]
    assert list(read_edits(SOURCE, shard, 10**9, frozenset({wanted.source}))) == [wanted]
