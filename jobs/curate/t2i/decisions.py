"""From scores to decisions: a pure function of the stored scores and the recipe's thresholds.

A picture has one reason, the first that applies of REASONS. Duplicates are looked for among the pictures
that pass the filters, so a rejected picture never stands for a kept one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jobs.curate.duplicates import CELL_BYTES, exact_duplicates, near_duplicates
from jobs.curate.stage import reject, set_column
from jobs.recipe import Duplicates, Filters

Floats = npt.NDArray[np.float64]

REASONS = ("small", "aspect", "solid", "blurred", "border", "frame", "exact_duplicate", "near_duplicate")
"""In the order in which they are tried."""


def decide(scores: pa.Table, filters: Filters, duplicates: Duplicates) -> pa.Table:
    """Set `status`, `reason` and `detail`, and add `duplicate_of`, in a table of scores sorted by source."""
    reasons: list[str | None] = [None] * len(scores)
    details: list[str | None] = [None] * len(scores)
    _apply_filters(scores, filters, reasons, details)
    duplicate_of = _apply_duplicates(scores, duplicates, reasons)
    return set_column(reject(scores, reasons, details), "duplicate_of", duplicate_of, pa.uint64())


def _apply_filters(
    scores: pa.Table, filters: Filters, reasons: list[str | None], details: list[str | None]
) -> None:
    width, height = _floats(scores, "width"), _floats(scores, "height")
    short, long = np.minimum(width, height), np.maximum(width, height)
    entropy, sharpness = _floats(scores, "entropy"), _floats(scores, "sharpness")
    border, frame = _floats(scores, "border"), _floats(scores, "frame")
    # (reason, value, limit, whether the value is beyond it)
    tests = [
        ("small", short, filters.min_side, short < filters.min_side),
        ("aspect", long / short, filters.max_aspect, long / short > filters.max_aspect),
        ("solid", entropy, filters.min_entropy, entropy < filters.min_entropy),
        ("blurred", sharpness, filters.min_sharpness, sharpness < filters.min_sharpness),
        ("border", border, filters.max_border, border > filters.max_border),
        ("frame", frame, filters.max_frame, frame > filters.max_frame),
    ]
    for reason, value, limit, beyond in tests:
        for row in np.flatnonzero(beyond):
            if reasons[row] is None:
                reasons[row] = reason
                details[row] = f"{value[row]:.4g}, the limit is {limit:g}"


def _apply_duplicates(
    scores: pa.Table, duplicates: Duplicates, reasons: list[str | None]
) -> list[int | None]:
    """Give duplicates their reason; return for each row the sample id of the kept record it repeats."""
    first_of: dict[int, int] = {}

    def mark(rows: list[int], found: list[int | None], reason: str) -> list[int]:
        for row, first in zip(rows, found, strict=True):
            if first is not None:
                reasons[row], first_of[row] = reason, rows[first]
        return [row for row in rows if row not in first_of]

    rows = [row for row, reason in enumerate(reasons) if reason is None]
    rows = mark(rows, exact_duplicates(_values(scores, "sha256", rows)), "exact_duplicate")
    mark(rows, _near(scores, rows, duplicates), "near_duplicate")
    ids = scores["sample_id"].to_pylist()
    # The first of some equal files may itself look like an earlier picture: that one is kept.
    kept = {row: first_of.get(first, first) for row, first in first_of.items()}
    return [ids[kept[row]] if row in kept else None for row in range(len(ids))]


def _near(scores: pa.Table, rows: list[int], duplicates: Duplicates) -> list[int | None]:
    colours = np.frombuffer(b"".join(_values(scores, "colours", rows)), np.uint8)
    return near_duplicates(
        _values(scores, "perceptual_hash", rows),
        colours.reshape(len(rows), CELL_BYTES),
        duplicates.max_distance,
        duplicates.max_colour_difference,
    )


def _values(table: pa.Table, name: str, rows: list[int]) -> list[Any]:
    return list(table[name].take(pa.array(rows, pa.int64())).to_pylist())


def _floats(table: pa.Table, name: str) -> Floats:
    return np.asarray(table[name].cast(pa.float64()).to_numpy(), np.float64)
