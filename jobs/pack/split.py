"""Fifth step: the rows of some token files, cut by where they go. Every token file is read once.

A bucket is a run of packs that one unit of the next step writes. Rows travel as Arrow record batches
without their schema, one for each bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from infra.errors import UserError
from infra.manifest import Receipt, read_table
from jobs.pack.assign import read_places
from jobs.pack.exchange import publish_chunks, read_records
from jobs.pack.inputs import TokenFile
from jobs.pack.records import PLACE, Records, join
from jobs.pack.sorting import order_of
from jobs.pack.steps import Context, receipt
from jobs.readers import damage_named
from jobs.schemas import TOKENS_SCHEMA
from jobs.units import Unit

UNIT_BYTES = 128 << 20
"""Token files of one unit, as they are stored; in memory about three times as much."""

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
    order = order_of(bucket, task.buckets)
    rows = _rows(task.files, places[order])
    ends = np.cumsum(np.bincount(bucket, minlength=task.buckets)).tolist()
    chunks = [_encode(rows, start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    publish_chunks(task.context.output, unit.name, chunks)
    return receipt(unit.name)


def decode_rows(data: bytes) -> pa.RecordBatch:
    """Rows of one chunk.

    Raises:
        ValueError: they are damaged.
    """
    batch = pa.ipc.read_record_batch(pa.py_buffer(data), MOVED_SCHEMA)
    batch.validate(full=True)
    return batch


def _encode(rows: pa.RecordBatch, start: int, end: int) -> bytes:
    return rows.slice(start, end - start).serialize().to_pybytes() if start < end else b""


def _places(task: Split) -> Records:
    """All places of the files' rows, with packs counted over all windows."""
    parts = []
    (first_packs,) = read_records(task.context.output, [FIRST_PACKS], 0, 1, np.dtype("<i8"))
    for window, first in enumerate(first_packs[:-1].tolist()):
        places = read_places(task.context, window, task.group).copy()
        places["pack"] += first
        parts.append(places)
    return join(parts, PLACE)


def _rows(files: Sequence[TokenFile], places: Records) -> pa.RecordBatch:
    """The rows at places, in their order."""
    starts = {}
    tables, count = [TOKENS_SCHEMA.empty_table()], 0
    for file in files:
        with damage_named("a file of tokens", file.uri):
            table = read_table(file.uri).replace_schema_metadata(None)
        if len(table) != file.rows:
            raise UserError(f"{len(table)} rows, the manifest says {file.rows}", file.uri, "Extract again")
        starts[file.number] = count
        count += len(table)
        tables.append(table)
    offset = np.zeros(max(starts, default=0) + 1, np.int64)
    offset[list(starts)] = list(starts.values())
    rows = pa.concat_tables(tables).take(pa.array(offset[places["file"]] + places["row"]))
    extra = {"repeat": places["repeat"], "pack": places["pack"], "place": places["place"]}
    columns = [*rows.combine_chunks().columns, *map(pa.array, extra.values())]
    table = pa.Table.from_arrays(columns, schema=MOVED_SCHEMA).combine_chunks()
    return next(iter(table.to_batches()), pa.RecordBatch.from_pylist([], schema=MOVED_SCHEMA))
