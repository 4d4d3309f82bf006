"""A verdict without asking anybody, from what was measured and from the truth that drawn scenes bring along.

Where the truth is known, both pictures are held to it: what must be seen before the edit, and what the
instruction leaves. Of other edits only those are found out in which nothing has changed. Everything else
counts as followed, with the lowest score of a good edit; how much may change is a threshold, asked later.
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

TRUTH, MEASURED = "truth", "measured"
"""Who judges an edit: what is known of it, or else what was measured."""

BEST, GOOD = 10, 7
"""Scores as the prompt `edit_judge` gives them; `GOOD` is the lowest of an edit that follows."""


def measured_verdict(row: dict[str, Any], record: EditRecord) -> EditVerdict:
    """What can be said of an edit from its scores and its truth.

    Args:
        row: of the catalogue of edit/scored.
        record: the pictures.
    """
    expected = _expected(row["truth"])
    if expected is not None:
        return _by_truth(row, record, *expected)
    if row["changed"] == 0:
        return EditVerdict(reason="Nothing has changed.", score=0, follows=False)
    return EditVerdict(reason="Nothing that was measured speaks against it.", score=GOOD, follows=True)


def judged_by(truth: str | None) -> str:
    """Who judges an edit with this truth, where no model does."""
    return MEASURED if _expected(truth) is None else TRUTH


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


def _by_truth(row: dict[str, Any], record: EditRecord, before: Truth, after: Truth) -> EditVerdict:
    assert record.output is not None
    compared = row["compared"]
    try:
        checked = [
            (which, clause)
            for which, at, data, truth in (
                ("before", compared, record.inputs[compared], before),
                ("after", -1, record.output, after),
            )
            # They were decoded once already, so their sizes are within what scoring allows.
            for clause in verify(decode(data, row["width"][at] * row["height"][at]), truth).clauses
        ]
    except DecodeError as error:
        return EditVerdict(reason=f"A picture cannot be read: {error.detail}", score=0, follows=False)
    wrong = [f"{clause.text} ({which})" for which, clause in checked if not clause.passed]
    if not wrong:
        return EditVerdict(reason="All that must be true is seen.", score=BEST, follows=True)
    score = (GOOD - 1) * (len(checked) - len(wrong)) // len(checked)
    return EditVerdict(reason=f"Not seen: {'; '.join(wrong)}."[:500], score=score, follows=False)
