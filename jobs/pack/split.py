"""Fifth step: the rows of some token files, cut by where they go. Every token file is read once.

A bucket is a run of packs that one unit of the next step writes. Rows travel as Arrow record batches
without their schema, one for each bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import pyarrow as pa

from infra.errors import UserError
from infra.manifest import Receipt, read_table
from jobs.pack.assign import read_places
from jobs.pack.columns import Ints
from jobs.pack.exchange import publish_chunks, read_records
from jobs.pack.inputs import TokenFile, group
from jobs.pack.records import PLACE, Records, join
from jobs.pack.sorting import order_of
from jobs.pack.steps import Context, receipt
from jobs.readers import damage_named
from jobs.schemas import TOKENS_SCHEMA
from jobs.units import Unit

UNIT_BYTES = 128 << 20
"""Token files of one unit, as they are stored; in memory about three times as much, and once more for each
time that rows are repeated."""

FIRST_PACKS = "first-packs"
"""Intermediate: the number of each window's first pack, and of all."""

MOVED_SCHEMA = pa.schema(
    [*TOKENS_SCHEMA, ("repeat", pa.int32()), ("pack", pa.int32()), ("place", pa.int32())]
)
"""A row on its way: `pack` counts over all windows, `place` orders the rows of a pack."""


@dataclass(frozen=True)
class Split:
    """Token files to move."""

    context: Context
    group: int
    files: tuple[TokenFile, ...]
    bucket_packs: int
    buckets: int


def split(unit: Unit[Split]) -> Receipt:
    """Publish the rows of some token files, each as often as it is packed, by bucket."""
    task = unit.payload
    places = _places(task)
    bucket = places["pack"] // task.bucket_packs
    places = places[order_of(bucket, task.buckets)]
    sizes = np.bincount(bucket, minlength=task.buckets).tolist()
    publish_chunks(task.context.output, unit.name, _chunks(task.files, places, sizes))
    return receipt(unit.name)


def decode_rows(data: bytes) -> pa.RecordBatch:
    """Rows of one chunk.

    Raises:
        ValueError: they are damaged.
    """
    batch = pa.ipc.read_record_batch(pa.py_buffer(data), MOVED_SCHEMA)
    batch.validate(full=True)
    return batch


def _places(task: Split) -> Records:
    """All places of the files' rows, with packs counted over all windows."""
    parts = []
    (first_packs,) = read_records(task.context.output, [FIRST_PACKS], 0, 1, np.dtype("<i8"))
    for window, first in enumerate(first_packs[:-1].tolist()):
        places = read_places(task.context, window, task.group).copy()
        places["pack"] += first
        parts.append(places)
    return join(parts, PLACE)


def _chunks(files: Sequence[TokenFile], places: Records, sizes: Sequence[int]) -> list[bytes]:
    """The rows at places, encoded by bucket; `sizes` are those of the buckets, in rows.

    Where rows are repeated, only about as many as the files have are taken at a time.
    """
    table, starts = _read(files)
    chunks: list[bytes] = []
    done = 0
    for part in group(sizes, int, len(table)):
        end = done + sum(part)
        chunks += _encode(_take(table, starts, places[done:end]), part)
        done = end
    return chunks


def _encode(rows: pa.RecordBatch, sizes: Sequence[int]) -> list[bytes]:
    starts = accumulate(sizes, initial=0)
    return [
        rows.slice(start, size).serialize().to_pybytes() if size else b""
        for start, size in zip(starts, sizes, strict=False)
    ]


def _read(files: Sequence[TokenFile]) -> tuple[pa.Table, Ints]:
    """The rows of files one after another, and where those of each file start, by its number."""
    starts = np.zeros(max((file.number for file in files), default=0) + 1, np.int64)
    tables, count = [TOKENS_SCHEMA.empty_table()], 0
    for file in files:
        with damage_named("a file of tokens", file.uri):
            table = read_table(file.uri).replace_schema_metadata(None)
        if len(table) != file.rows:
            raise UserError(f"{len(table)} rows, the manifest says {file.rows}", file.uri, "Extract again")
        starts[file.number] = count
        count += len(table)
        tables.append(table)
    return pa.concat_tables(tables), starts


def _take(table: pa.Table, starts: Ints, places: Records) -> pa.RecordBatch:
    """The rows at places, in their order."""
    rows = table.take(pa.array(starts[places["file"]] + places["row"]))
    extra = (pa.array(places[name]) for name in ("repeat", "pack", "place"))
    columns = [*rows.combine_chunks().columns, *extra]
    table = pa.Table.from_arrays(columns, schema=MOVED_SCHEMA).combine_chunks()
    return next(iter(table.to_batches()), pa.RecordBatch.from_pylist([], schema=MOVED_SCHEMA))
