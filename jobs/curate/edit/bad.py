"""Which judged edits are bad: a pure function of their verdicts and the recipe's thresholds.

An edit is bad whose judge says that it does not follow its instruction, or scores it too low; and, where
nobody looked at it, one of a local task in which almost all has changed.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from jobs.curate.edit.measured import MEASURED
from jobs.recipe.curation.edit import TASKS

_LOCAL = {str(task) for task, kind in TASKS.items() if kind == "local"}
_COLUMNS = ["task", "judge", "changed", "follows", "score", "verdict"]


def why_bad(judged: pa.Table, min_score: int, max_changed: float | None) -> list[str | None]:
    """What is wrong with each edit, in words; None for a good one.

    Args:
        judged: kept rows of edit/judged.
        min_score: the lowest score of a good edit.
        max_changed: share of visibly changed pixels beyond which a local edit has changed all; None where a
            model judged, who saw it.
    """
    return [_why(row, min_score, max_changed) for row in judged.select(_COLUMNS).to_pylist()]


def _why(row: dict[str, Any], min_score: int, max_changed: float | None) -> str | None:
    if not row["follows"] or row["score"] < min_score:
        return f"{row['score']} of 10: {row['verdict']}"
    unseen = max_changed is not None and row["judge"] == MEASURED
    if unseen and row["task"] in _LOCAL and row["changed"] > max_changed:
        return f"{row['changed']:.0%} of the pixels have changed, and {row['task']} is a local edit"
    return None
