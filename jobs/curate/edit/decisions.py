"""From scores to decisions: a pure function of the stored scores and the recipe's thresholds.

An edit has one reason, the first that applies: `no_instruction`, `instruction_long`, `small`,
`size_mismatch`, `unchanged`, then `exact_duplicate`: the same pictures and the same words as an edit that
stays, in the order of sources.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from jobs.curate.duplicates import exact_duplicates
from jobs.curate.stage import reject
from jobs.recipe.curation.edit import EditFilters

Row = dict[str, Any]
Reason = tuple[str, str]
"""(reason, detail)."""


def decide(scores: pa.Table, filters: EditFilters) -> pa.Table:
    """Set `status`, `reason` and `detail` of the rows of a table of scores sorted by source."""
    rows = scores.to_pylist()
    found = [first_reason(row, filters) for row in rows]
    stays = [number for number, reason in enumerate(found) if reason is None]
    ids = [str(rows[number]["sample_id"]) for number in stays]
    for number, first in zip(stays, exact_duplicates(ids), strict=True):
        if first is not None:
            found[number] = ("exact_duplicate", f"of {rows[stays[first]]['source']}")
    return reject(scores, [one and one[0] for one in found], [one and one[1] for one in found])


def first_reason(row: Row, filters: EditFilters) -> Reason | None:
    """Why an edit is none, by itself."""
    return _words(row, filters) or _sizes(row, filters) or _change(row, filters)


def _words(row: Row, filters: EditFilters) -> Reason | None:
    length = len(row["instruction"])
    if length < filters.min_characters:
        return "no_instruction", f"{length} characters, the limit is {filters.min_characters}"
    if length > filters.max_characters:
        return "instruction_long", f"{length} characters, the limit is {filters.max_characters}"
    return None


def _sizes(row: Row, filters: EditFilters) -> Reason | None:
    widths, heights = row["width"], row["height"]
    shortest = min(*widths, *heights)
    if shortest < filters.min_side:
        return "small", f"{shortest} pixels, the limit is {filters.min_side}"
    before, after = row["compared"], -1
    sides = (widths[before], widths[after]), (heights[before], heights[after])
    by_side = max(_difference(*side) for side in sides)
    by_aspect = _difference(widths[before] * heights[after], widths[after] * heights[before])
    limit = filters.max_size_difference
    if by_aspect > filters.max_aspect_difference or (limit is not None and by_side > limit):
        return "size_mismatch", f"{widths[before]}x{heights[before]} became {widths[after]}x{heights[after]}"
    return None


def _change(row: Row, filters: EditFilters) -> Reason | None:
    if row["changed"] < filters.min_changed:
        return "unchanged", f"{row['changed']:.2%} of the pixels, the limit is {filters.min_changed:.2%}"
    return None


def _difference(one: int, other: int) -> float:
    """The share by which the larger of two numbers exceeds the smaller."""
    return max(one, other) / min(one, other) - 1
