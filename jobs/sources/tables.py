"""Parquet files of published data sets: how many rows they have, and rows as plain values."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.sources import caption_text

Row = Mapping[str, Any]
"""A row's Arrow scalars by column."""

UNREADABLE = (pa.ArrowException, OSError)
"""What reading a damaged file raises."""


def parquet_files(files: Sequence[FileInfo]) -> list[FileInfo]:
    """The Parquet files among some files."""
    return [file for file in files if file.uri.endswith(".parquet")]


def count_rows(file: FileInfo) -> int | None:
    """How many rows a file says it has, or None where it cannot say."""
    try:
        return _count_rows(file)
    except UNREADABLE:
        return None


@lru_cache(maxsize=1 << 16)
def _count_rows(file: FileInfo) -> int:
    """Discovery asks again and again; a file's version is part of the question."""
    with storage.open_input(file.uri) as stream:
        return int(pq.ParquetFile(stream).metadata.num_rows)


def iter_rows(
    uri: str, needed: Collection[str], start: int = 0, count: int | None = None, batch_rows: int = 256
) -> Iterator[Row]:
    """`count` rows from `start` on, or all that follow. Row groups without any of them are not read.

    Raises:
        UserError: one of the `needed` columns is missing.
        one of UNREADABLE: the file is damaged, from the row on that would come next.
    """
    with storage.open_input(uri) as stream:
        table = pq.ParquetFile(stream)
        _check_columns(uri, table.schema_arrow.names, needed)
        end = table.metadata.num_rows if count is None else start + count
        first = 0
        for group in range(table.metadata.num_row_groups):
            rows = table.metadata.row_group(group).num_rows
            if start < first + rows and first < end:
                batches = table.iter_batches(batch_rows, row_groups=[group], use_threads=False)
                yield from islice(_rows(batches), max(0, start - first), end - first)
            first += rows


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        for number in range(batch.num_rows):
            yield {name: batch.column(name)[number] for name in batch.schema.names}


def _check_columns(uri: str, names: list[str], needed: Collection[str]) -> None:
    for column in needed:
        if column not in names:
            raise UserError(
                f"no column {column!r}", uri, f"Correct the source's kind; columns: {', '.join(names)}"
            )


def text(value: Any) -> tuple[str | None, str | None]:
    """A scalar as caption text and what is wrong with it; (None, None) where it is null or no text."""
    if value is None or not value.is_valid or not _is_text(value.type):
        return None, None
    # Arrow does not promise that its strings are UTF-8.
    return caption_text(value.as_buffer().to_pybytes())


def metadata_json(row: Row, without: Collection[str]) -> str | None:
    """All other columns that have a value as a JSON object; binary ones are left out."""
    values = {name: plain(scalar) for name, scalar in row.items() if name not in without}
    return canonical({name: value for name, value in values.items() if value is not None})


def canonical(values: Mapping[str, Any]) -> str | None:
    """A JSON object in one spelling, or None where it is empty."""
    if not values:
        return None
    return json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def plain(scalar: Any) -> Any:
    """A scalar as a JSON value; bytes that are no UTF-8 are replaced, what JSON cannot say is None."""
    if scalar.is_valid and _is_text(scalar.type):
        return scalar.as_buffer().to_pybytes().decode("utf-8", "replace")
    try:
        return json_value(scalar.as_py())
    except UnicodeDecodeError:
        return None


def json_value(value: Any) -> Any:
    """A value as JSON has them: no NaN, no bytes, and times and decimals as text."""
    if value is None or isinstance(value, bytes):
        return None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): json_value(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return value if isinstance(value, bool | int) else str(value)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_))
