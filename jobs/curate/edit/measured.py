"""A verdict without asking anybody, from what was measured and from the truth that drawn scenes bring along.

Where the truth is known, both pictures are held to it: what must be seen before the edit, and what the
instruction leaves. Of other edits only two kinds are found out: nothing has changed, or all has although
the task is local. Everything else counts as followed, with the lowest score of a good edit.
"""

from __future__ import annotations

import json
from typing import Any

from jobs.images import DecodeError, decode
from jobs.recipe.curation.edit import TASKS
from jobs.scenes.truth import Truth
from jobs.scenes.verify import verify
from jobs.sources import EditRecord
from jobs.vlm.answers import EditVerdict

BEST, GOOD, BAD = 10, 7, 2
"""Scores as the prompt `edit_judge` gives them; `GOOD` is the lowest of an edit that follows."""


def measured_verdict(row: dict[str, Any], record: EditRecord, task: str, max_changed: float) -> EditVerdict:
    """What can be said of an edit from its scores and its truth.

    Args:
        row: of the catalogue of edit/scored.
        record: the pictures.
        task: of the edit.
        max_changed: share of visibly changed pixels beyond which a local edit has changed all.
    """
    expected = _expected(row["truth"])
    if expected is not None:
        return _by_truth(record, row["compared"], *expected)
    changed = row["changed"]
    if changed == 0:
        return EditVerdict(reason="Nothing has changed.", score=0, follows=False)
    local = any(name == task and kind == "local" for name, kind in TASKS.items())
    if local and changed > max_changed:
        reason = f"{changed:.0%} of the pixels have changed, and {task} is a local edit."
        return EditVerdict(reason=reason, score=BAD, follows=False)
    return EditVerdict(reason="Nothing that was measured speaks against it.", score=GOOD, follows=True)


def task_of_truth(truth: str | None) -> str | None:
    """The task that a truth names."""
    task = _object(truth).get("task")
    return task if task in TASKS else None


def _expected(truth: str | None) -> tuple[Truth, Truth] | None:
    """What is true before and after, where a drawn scene says it."""
    known = _object(truth)
    if "before" not in known or "after" not in known:
        return None
    return Truth.model_validate(known["before"]), Truth.model_validate(known["after"])


def _object(truth: str | None) -> dict[str, Any]:
    value = json.loads(truth) if truth else {}
    return value if isinstance(value, dict) else {}


def _by_truth(record: EditRecord, compared: int, before: Truth, after: Truth) -> EditVerdict:
    assert record.output is not None
    try:
        checked = [
            (which, clause)
            for which, data, truth in (
                ("before", record.inputs[compared], before),
                ("after", record.output, after),
            )
            for clause in verify(decode(data), truth).clauses
        ]
    except DecodeError as error:
        return EditVerdict(reason=f"A picture cannot be read: {error.detail}", score=0, follows=False)
    wrong = [f"{clause.text} ({which})" for which, clause in checked if not clause.passed]
    if not wrong:
        return EditVerdict(reason="All that must be true is seen.", score=BEST, follows=True)
    score = (GOOD - 1) * (len(checked) - len(wrong)) // len(checked)
    return EditVerdict(reason=f"Not seen: {'; '.join(wrong)}."[:500], score=score, follows=False)
