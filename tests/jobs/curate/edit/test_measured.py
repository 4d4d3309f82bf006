"""Verdicts without asking anybody, edit by edit."""

import json
import random
from typing import Any

import pyarrow as pa
import pytest

from jobs.curate.edit.bad import why_bad
from jobs.curate.edit.measured import BEST, GOOD, judged_by, measured_verdict, task_of_truth
from jobs.scenes.edits import EditSample, make_edit, sample_edit
from jobs.sources import EditRecord

SIZES = {"width": [64, 64], "height": [64, 64]}


def row(sample: EditSample | None = None, **values: Any) -> dict[str, Any]:
    return {"truth": sample.truth if sample else None, "compared": 0, "changed": 0.3, **SIZES} | values


def record(before: bytes, after: bytes) -> EditRecord:
    return EditRecord("a#0", (before,), after)


def sample(index: int, wrong: bool = False) -> EditSample:
    return make_edit(sample_edit(3, index), 64, random.Random(index), wrong)


def test_right_edits_of_scenes_are_right_and_wrong_ones_wrong() -> None:
    for index in range(60):
        right, wrong = sample(index), sample(index, wrong=True)
        good = measured_verdict(row(right), record(right.before, right.after))
        bad = measured_verdict(row(wrong), record(wrong.before, wrong.after))
        assert (good.follows, good.score) == (True, BEST), right.instruction
        assert not bad.follows, wrong.instruction
        assert bad.score < GOOD
        assert bad.reason.startswith("Not seen: ")


def test_the_picture_before_is_held_to_the_truth_too() -> None:
    one, other = sample(0), sample(1)
    found = measured_verdict(row(one), record(other.before, one.after))
    assert not found.follows
    assert "(before)" in found.reason


def test_how_an_edit_is_wrong_is_not_looked_up() -> None:
    """A control: the truth says which drawn edits are wrong; a judge must not read it there."""
    one = sample(0)
    accused = row(one) | {"truth": json.dumps(json.loads(one.truth) | {"wrong": "scene"})}
    assert measured_verdict(accused, record(one.before, one.after)).follows


@pytest.mark.parametrize(("changed", "follows"), [(0.0, False), (0.3, True), (1.0, True)])
def test_without_a_truth_only_what_has_not_changed_is_bad(changed: float, follows: bool) -> None:
    found = measured_verdict(row(changed=changed), record(b"", b""))
    assert (found.follows, found.score >= GOOD) == (follows, follows)


def test_pictures_are_decoded_up_to_the_size_that_was_scored() -> None:
    one = sample(0)
    smaller = row(one, width=[64, 32])
    found = measured_verdict(smaller, record(one.before, one.after))
    assert "cannot be read: 64x64 pixels, the limit is 2048" in found.reason


def test_who_judged_is_known_afterwards() -> None:
    assert judged_by(sample(0).truth) == "truth"
    assert judged_by(None) == judged_by('{"task": "add"}') == "measured"


def judged(**values: Any) -> pa.Table:
    known = {"task": "add", "judge": "measured", "changed": 0.95, "follows": True, "score": 7, "verdict": "-"}
    return pa.Table.from_pylist([known | values])


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ({}, True),
        ({"changed": 0.9}, False),
        ({"task": "style"}, False),
        ({"task": "background"}, False),
        ({"task": "other"}, False),
        ({"judge": "truth"}, False),
        ({"judge": "a model"}, False),
        ({"changed": 0.3, "score": 6}, True),
        ({"changed": 0.3, "follows": False}, True),
    ],
)
def test_local_edits_that_nobody_looked_at_are_bad_where_all_has_changed(
    values: dict[str, Any], bad: bool
) -> None:
    (why,) = why_bad(judged(**values), 7, 0.9)
    assert (why is not None) is bad
    (seen,) = why_bad(judged(**values), 7, None)
    assert (seen is not None) is (bad and bool(values))


@pytest.mark.parametrize(
    ("truth", "task"),
    [('{"task": "add"}', "add"), ('{"task": "sing"}', None), ("{}", None), ("[]", None), (None, None)],
)
def test_the_task_of_a_truth(truth: str | None, task: str | None) -> None:
    assert task_of_truth(truth) == task
