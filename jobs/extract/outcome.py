"""What became of every document: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.catalogue import BASE_FIELDS
from infra.document import format_id, parse_id
from infra.manifest import Receipt
from jobs.extract.plan import Tar
from jobs.units import Unit

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("attempts", pa.int32()),  # of an errored document
        ("family", pa.string()),
        ("tokens", pa.int32()),
        ("pairs", pa.int64()),
        ("schedules", pa.list_(pa.string())),  # of its pictures, in order
        ("unit", pa.string()),
    ]
)


def catalogue(folder: str, units: Sequence[Unit[Tar]], receipts: Sequence[Receipt]) -> pa.Table:
    """The catalogue, sorted by source, which is `<curated tar>#<document>`.

    Args:
        folder: the output whose token files the receipts list.
        units: those of the receipts.
    """
    tables = [_SCHEMA.empty_table()]
    for unit, receipt in zip(units, receipts, strict=True):
        tables += [_table(rows, unit) for rows in (*_kept(folder, receipt), _refused(receipt))]
    return pa.concat_tables(tables).sort_by("source")


def _table(rows: list[dict[str, Any]], unit: Unit[Tar]) -> pa.Table:
    more = [
        row | {"source": f"{unit.payload.label}#{format_id(row['sample_id'])}.json", "unit": unit.name}
        for row in rows
    ]
    return pa.Table.from_pylist(more, schema=_SCHEMA)


def _kept(folder: str, receipt: Receipt) -> list[list[dict[str, Any]]]:
    """The rows of the documents that have tokens, by row group."""
    columns = ["sample_id", "family", "segments", "tokens", "pairs"]
    found = []
    for entry in receipt.files:
        with storage.open_input(storage.join(folder, entry.path)) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(columns=columns, use_threads=False):
                found.append([_kept_row(row) for row in batch.to_pylist()])
    return found


def _kept_row(row: dict[str, Any]) -> dict[str, Any]:
    segments = row.pop("segments")
    return {**row, "status": "kept", "schedules": [s["schedule"] for s in segments if s["kind"] == "image"]}


def _refused(receipt: Receipt) -> list[dict[str, Any]]:
    """The rows of the documents that have none."""
    return [{**entry, "sample_id": parse_id(entry["sample_id"])} for entry in receipt.metadata["refused"]]
