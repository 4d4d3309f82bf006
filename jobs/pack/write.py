"""Last step: a bucket of packs, gathered from all units that split token files, into packs files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.manifest import FileEntry, Receipt
from jobs.pack.columns import Floats, Ints
from jobs.pack.exchange import read_chunks
from jobs.pack.records import Cost
from jobs.pack.split import MOVED_SCHEMA, decode_rows
from jobs.pack.steps import Context, receipt, unit_name
from jobs.schemas import PACKS_SCHEMA
from jobs.units import Unit

FILE_PACKS = 256
"""Packs in one file."""
GROUP_PACKS = 16
"""Packs in one Parquet row group, which is what a reader holds in memory."""
BUCKET_TOKENS = 64_000_000
"""Tokens in a bucket, and so in memory: about half a gigabyte."""


@dataclass(frozen=True)
class Write:
    """A bucket to write. `schema` has the packs' metadata."""

    context: Context
    bucket: int
    buckets: int
    schema: pa.Schema


def bucket_packs(max_tokens: int) -> int:
    """Packs in a bucket: whole files, and as many as its tokens allow."""
    return FILE_PACKS * max(1, BUCKET_TOKENS // (max_tokens * FILE_PACKS))


def write(unit: Unit[Write]) -> Receipt:
    """Publish the packs files of a bucket."""
    task = unit.payload
    rows = _ordered(_gather(task))
    packs = rows["pack"].to_numpy()
    entries = []
    for number in np.unique(packs // FILE_PACKS).tolist():
        start, end = np.searchsorted(packs, [number * FILE_PACKS, (number + 1) * FILE_PACKS]).tolist()
        table = to_packs(rows.slice(start, end - start), task.context.cost)
        entries.append(_publish(task, number, table))
    return receipt(unit.name, *entries)


def to_packs(rows: pa.Table, cost: Cost) -> pa.Table:
    """Rows in the order of their packs, as a table of PACKS_SCHEMA."""
    numbers, starts = np.unique(rows["pack"].to_numpy(), return_index=True)
    fields = list(PACKS_SCHEMA.field("documents").type.value_type)
    columns = [rows[field.name].combine_chunks() for field in fields]
    documents = pa.StructArray.from_arrays(columns, fields=fields)
    tokens: Ints = rows["tokens"].to_numpy().astype(np.int64)
    costs: Floats = cost.of(tokens, rows["pairs"].to_numpy())
    arrays = [
        pa.array(numbers, pa.int32()),
        pa.ListArray.from_arrays(pa.array([*starts, len(rows)], pa.int32()), documents),
        pa.array(np.add.reduceat(tokens, starts), pa.int32()),
        pa.array(np.add.reduceat(costs, starts), pa.float64()),
    ]
    return pa.Table.from_arrays(arrays, schema=PACKS_SCHEMA)


def _gather(task: Write) -> Iterator[pa.RecordBatch]:
    """The rows of the bucket, from every unit that split."""
    output = task.context.output
    for number in range(task.context.splits):
        name = unit_name("split", number)
        if data := read_chunks(output, name, task.bucket, task.bucket + 1, task.buckets):
            yield decode_rows(data)


def _ordered(batches: Iterator[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(batches, MOVED_SCHEMA)
    order = pc.sort_indices(table, [("pack", "ascending"), ("place", "ascending")])
    return table.take(order).combine_chunks()


def _publish(task: Write, number: int, table: pa.Table) -> FileEntry:
    path = f"data/{unit_name('packs', number)}.parquet"
    table = table.replace_schema_metadata(task.schema.metadata)
    return task.context.output.publish_table(path, table, GROUP_PACKS)
