"""Parquet files of published data sets: how many rows they have, and their rows, those lost to damage too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice, repeat
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.sources.damage import UNREADABLE, why_damaged
from jobs.sources.shards import Shard
from jobs.sources.values import Row

_FEWER = "the file has fewer rows"


@dataclass(frozen=True)
class Column:
    """A column that a source needs, and what it has to hold."""

    name: str
    holds: str = "anything"
    fits: Callable[[pa.DataType], bool] = lambda _type: True


@dataclass(frozen=True)
class Lost:
    """A row that damage took away, and how."""

    problem: str


def parquet_files(files: Sequence[FileInfo]) -> list[FileInfo]:
    """The Parquet files among some files."""
    return [file for file in files if file.uri.endswith(".parquet")]


def shard_per_file(files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(parquet_files(files))]


def count_rows(file: FileInfo) -> int:
    """How many rows a file says it has; one that is too damaged to say counts as one lost row.

    Raises:
        OSError: the file cannot be read for now.
    """
    try:
        return _count_rows(file)
    except UNREADABLE as error:
        why_damaged(error, "")
        return 1


@lru_cache(maxsize=1 << 16)
def _count_rows(file: FileInfo) -> int:
    """Discovery asks again and again; a file's version is part of the question."""
    with storage.open_input(file.uri) as stream:
        return int(pq.ParquetFile(stream).metadata.num_rows)


def iter_rows(
    uri: str,
    columns: Sequence[Column],
    start: int = 0,
    count: int | None = None,
    *,
    others: bool = True,
    batch_rows: int = 256,
) -> Iterator[tuple[str, Row | Lost]]:
    """Place of each of `count` rows from `start` on, or of all that follow, and the row or how it was lost.

    Row groups without any of them are not read; damage of one takes rows of that one only.

    Args:
        uri: of the file.
        columns: what is needed.
        start: number of the first row.
        count: of the rows that the listing knows; left out, the file says how many there are.
        others: give all other columns, too.
        batch_rows: rows in memory at once.

    Raises:
        UserError: a column is missing, or holds something else.
        OSError: the file cannot be read for now.
    """
    with storage.open_input(uri) as stream:
        table, problem = _open(stream)
        known = 1 if table is None else table.metadata.num_rows
        rows = range(start, known if count is None else start + count)
        read: Iterator[Row | Lost] = iter(())
        if table is not None:
            _check_columns(uri, table.schema_arrow, columns)
            names = None if others else [column.name for column in columns]
            read = _read_groups(table, rows, names, batch_rows)
        for number, row in zip(rows, chain(read, repeat(Lost(problem))), strict=False):
            yield f"{uri}#{number:09d}", row


def _open(stream: IO[bytes]) -> tuple[pq.ParquetFile | None, str]:
    """The table, and why rows that it does not have are lost."""
    try:
        return pq.ParquetFile(stream), _FEWER
    except UNREADABLE as error:
        return None, why_damaged(error, "as a table")


def _check_columns(uri: str, schema: pa.Schema, columns: Sequence[Column]) -> None:
    mend = f"Correct the source in the recipe; columns: {', '.join(schema.names)}"
    for column in columns:
        if column.name not in schema.names:
            raise UserError(f"no column {column.name!r}", uri, mend)
        found = schema.field(column.name).type
        if not column.fits(found):
            raise UserError(f"column {column.name!r} holds {found}, not {column.holds}", uri, mend)


def _read_groups(
    table: pq.ParquetFile, rows: range, names: list[str] | None, batch_rows: int
) -> Iterator[Row | Lost]:
    """The rows that the file has, from the row groups that have some of them."""
    first = 0
    for group in range(table.metadata.num_row_groups):
        end = first + table.metadata.row_group(group).num_rows
        wanted = range(max(first, rows.start), min(end, rows.stop))
        if wanted:
            batches = table.iter_batches(batch_rows, row_groups=[group], columns=names, use_threads=False)
            yield from _read_group(batches, first, wanted)
        first = end


def _read_group(batches: Iterator[pa.RecordBatch], first: int, wanted: range) -> Iterator[Row | Lost]:
    """Some rows of a row group that begins at row `first`, each of them read or lost."""
    problem = _FEWER
    left = wanted
    try:
        for row in islice(_rows(batches), wanted.start - first, wanted.stop - first):
            yield row
            left = left[1:]
    except UNREADABLE as error:
        problem = why_damaged(error, f"from row {left.start} on")
    yield from repeat(Lost(problem), len(left))


def _rows(batches: Iterable[pa.RecordBatch]) -> Iterator[Row]:
    for batch in batches:
        for number in range(batch.num_rows):
            yield {
                name: column[number] for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
