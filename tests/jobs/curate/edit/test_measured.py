"""Verdicts without asking anybody, edit by edit."""

import json
import random
from typing import Any

import pytest

from jobs.curate.edit.measured import BEST, GOOD, measured_verdict, task_of_truth
from jobs.scenes.edits import EditSample, make_edit, sample_edit
from jobs.sources import EditRecord


def row(sample: EditSample | None = None, **values: Any) -> dict[str, Any]:
    return {"truth": sample.truth if sample else None, "compared": 0, "changed": 0.3} | values


def record(before: bytes, after: bytes) -> EditRecord:
    return EditRecord("a#0", (before,), after)


def sample(index: int, wrong: bool = False) -> EditSample:
    return make_edit(sample_edit(3, index), 64, random.Random(index), wrong)


def test_right_edits_of_scenes_are_right_and_wrong_ones_wrong() -> None:
    for index in range(60):
        right, wrong = sample(index), sample(index, wrong=True)
        good = measured_verdict(row(right), record(right.before, right.after), right.task, 0.9)
        bad = measured_verdict(row(wrong), record(wrong.before, wrong.after), wrong.task, 0.9)
        assert (good.follows, good.score) == (True, BEST), right.instruction
        assert not bad.follows, wrong.instruction
        assert bad.score < GOOD
        assert bad.reason.startswith("Not seen: ")


def test_the_picture_before_is_held_to_the_truth_too() -> None:
    one, other = sample(0), sample(1)
    found = measured_verdict(row(one), record(other.before, one.after), one.task, 0.9)
    assert not found.follows
    assert "(before)" in found.reason


def test_how_an_edit_is_wrong_is_not_looked_up() -> None:
    """A control: the truth says which drawn edits are wrong; a judge must not read it there."""
    one = sample(0)
    accused = row(one) | {"truth": json.dumps(json.loads(one.truth) | {"wrong": "scene"})}
    assert measured_verdict(accused, record(one.before, one.after), one.task, 0.9).follows


@pytest.mark.parametrize(
    ("task", "changed", "follows"),
    [
        ("add", 0.3, True),
        ("add", 0.9, True),
        ("add", 0.91, False),
        ("style", 1.0, True),
        ("background", 1.0, True),
        ("other", 1.0, True),
        ("style", 0.0, False),
    ],
)
def test_without_a_truth_only_what_cannot_be_is_bad(task: str, changed: float, follows: bool) -> None:
    found = measured_verdict(row(changed=changed), record(b"", b""), task, 0.9)
    assert (found.follows, found.score >= GOOD) == (follows, follows)


@pytest.mark.parametrize(
    ("truth", "task"),
    [('{"task": "add"}', "add"), ('{"task": "sing"}', None), ("{}", None), ("[]", None), (None, None)],
)
def test_the_task_of_a_truth(truth: str | None, task: str | None) -> None:
    assert task_of_truth(truth) == task
