"""Rows of a Parquet file that satisfy a condition, a batch in memory at a time.

Row groups whose statistics exclude every condition are not read at all. Catalogues are sorted by source, so
a question about sources reads few groups; sample ids are hashes, so a question about ids reads that column
alone until a row is found.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage

Row = dict[str, Any]

_BATCH = 8192
_ASKED_BATCH = 65536


class Condition(Protocol):
    """What the value of a column is asked."""

    def may_hold(self, low: Any, high: Any) -> bool:
        """Whether a value from `low` to `high` can pass."""
        ...

    def passes(self, values: pa.Array) -> pa.Array:
        """Which of the values pass."""
        ...


class Among:
    """The value is one of these; of a list, any of its items is."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = sorted(set(values))

    def may_hold(self, low: Any, high: Any) -> bool:
        """Whether one of the values lies from `low` to `high`."""
        at = bisect_left(self._values, low)
        return at < len(self._values) and bool(self._values[at] <= high)

    def passes(self, values: pa.Array) -> pa.Array:
        """Which of the values are among these."""
        if not pa.types.is_list(values.type):
            return pc.is_in(values, pa.array(self._values, values.type))
        found = pc.is_in(pc.list_flatten(values), pa.array(self._values, values.type.value_type))
        rows = pc.list_parent_indices(values).filter(found)
        return pc.is_in(pa.array(range(len(values)), pa.int64()), rows.cast(pa.int64()))


class Within:
    """The value lies in one of these ranges, both ends included."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(ranges)
        self._low = np.array([low for low, _ in ordered], np.uint64)
        # A range may contain a later one: what counts is the farthest end so far.
        self._high = np.maximum.accumulate(np.array([high for _, high in ordered], np.uint64))

    def may_hold(self, low: Any, high: Any) -> bool:
        """Whether one of the ranges has a value from `low` to `high`."""
        return bool(np.any((self._low <= high) & (low <= self._high)))

    def passes(self, values: pa.Array) -> pa.Array:
        """Which of the values are within."""
        numbers = values.to_numpy(zero_copy_only=False)
        at = np.searchsorted(self._low, numbers, side="right") - 1
        return pa.array((at >= 0) & (numbers <= self._high[at]) if len(self._high) else numbers < 0)


class Member:
    """What stands after the last `#` of the text is one of these names."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = pa.array(sorted(set(names)), pa.string())

    def may_hold(self, _low: Any, _high: Any) -> bool:
        """An order of texts says nothing of their ends."""
        return True

    def passes(self, values: pa.Array) -> pa.Array:
        """Which of the texts end so."""
        return pc.is_in(pc.replace_substring_regex(values, r"^.*#", ""), self._names)


def matching(
    uri: str, conditions: Mapping[str, Condition], columns: Sequence[str] | None = None
) -> Iterator[Row]:
    """The rows of a file that pass at least one condition, in their order.

    Args:
        uri: a Parquet file, local or on S3.
        conditions: by column; columns that the file lacks are passed over.
        columns: what is read of the rows; parts of structures with dots. Everything when absent.
    """
    with storage.open_input(uri) as stream:
        file = pq.ParquetFile(stream)
        known = {name: one for name, one in conditions.items() if name in file.schema_arrow.names}
        for group in range(file.num_row_groups):
            asked = {name: one for name, one in known.items() if _may_hold(file, group, name, one)}
            mask = _mask(file, group, asked) if asked else None
            if mask is not None and mask.true_count:
                yield from _rows(file, group, mask, columns)


def _may_hold(file: pq.ParquetFile, group: int, column: str, condition: Condition) -> bool:
    """Whether a row group can have a value that passes, by its statistics."""
    groups, schema = file.metadata.row_group(group), file.metadata.schema
    leaf = next((n for n in range(len(schema)) if schema.column(n).path == column), None)
    found = groups.column(leaf).statistics if leaf is not None else None
    # Of hashes, every row group has small and large ones.
    if column == "sample_id" or found is None or not found.has_min_max:
        return True
    return condition.may_hold(found.min, found.max)


def _mask(file: pq.ParquetFile, group: int, conditions: Mapping[str, Condition]) -> pa.BooleanArray:
    """Which rows of a row group pass a condition; one bit for each is held."""
    masks = [
        _any([pc.fill_null(one.passes(batch[name]), False) for name, one in conditions.items()])
        for batch in file.iter_batches(_ASKED_BATCH, [group], list(conditions), use_threads=False)
    ]
    return pa.concat_arrays([pa.array([], pa.bool_()), *masks])


def _any(masks: Sequence[pa.Array]) -> pa.Array:
    found = masks[0]
    for mask in masks[1:]:
        found = pc.or_(found, mask)
    return found


def _rows(
    file: pq.ParquetFile, group: int, mask: pa.BooleanArray, columns: Sequence[str] | None
) -> Iterator[Row]:
    at = 0
    wanted = None if columns is None else list(columns)
    for batch in file.iter_batches(_BATCH, [group], wanted, use_threads=False):
        yield from batch.filter(mask.slice(at, len(batch))).to_pylist()
        at += len(batch)
