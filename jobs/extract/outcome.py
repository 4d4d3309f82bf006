"""What became of every document of the drop: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS
from infra.document import format_id, parse_id
from infra.manifest import Receipt, read_table

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("tokens", pa.int32()),
        ("flops", pa.float64()),
        ("schedule", pa.string()),
        ("unit", pa.string()),
    ]
)


def catalogue(folder: str, receipts: Sequence[Receipt], tars: Sequence[str]) -> pa.Table:
    """The catalogue of a drop, sorted by source, which is `<curated tar>#<document>`.

    Args:
        folder: the output whose token files the receipts list.
        tars: the curated tar behind each receipt.
    """
    rows = [
        row | {"source": f"{tar}#{format_id(row['sample_id'])}.json", "unit": receipt.unit}
        for receipt, tar in zip(receipts, tars, strict=True)
        for row in (*_kept(folder, receipt), *_rejected(receipt))
    ]
    return pa.Table.from_pylist(rows, schema=_SCHEMA).sort_by("source")


def _kept(folder: str, receipt: Receipt) -> list[dict[str, Any]]:
    """The rows of the documents that have tokens."""
    columns = ["sample_id", "segments", "tokens", "flops"]
    found = [r for f in receipt.files for r in read_table(storage.join(folder, f.path), columns).to_pylist()]
    return [
        {
            "sample_id": row["sample_id"],
            "status": "kept",
            "tokens": row["tokens"],
            "flops": row["flops"],
            "schedule": next((s["schedule"] for s in row["segments"] if s["kind"] == "image"), None),
        }
        for row in found
    ]


def _rejected(receipt: Receipt) -> list[dict[str, Any]]:
    """The rows of the documents that could not be encoded."""
    return [
        {**entry, "sample_id": parse_id(entry["sample_id"]), "status": "rejected"}
        for entry in receipt.metadata["rejected"]
    ]
