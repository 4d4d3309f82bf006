"""Fourth step: a row for every input document with all packs that hold it, or the reason why none does."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.catalogue import BASE_FIELDS, Counts
from infra.manifest import Receipt
from jobs.pack.assign import FILES, read_fates
from jobs.pack.columns import FAMILIES, Keys
from jobs.pack.exchange import work_file
from jobs.pack.records import REASONS, Records
from jobs.pack.steps import Context, receipt, unit_name
from jobs.units import Unit

SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("family", pa.string()),
        ("tokens", pa.int64()),
        ("pairs", pa.int64()),
        ("cost", pa.float64()),  # forward FLOPs
        ("packs", pa.list_(pa.int32())),  # every pack that holds it
    ]
)


@dataclass(frozen=True)
class Listing:
    """A window to list. `first_pack` is the number of its first pack among all."""

    context: Context
    window: int
    first_pack: int


def list_documents(unit: Unit[Listing]) -> Receipt:
    """Publish the catalogue of a window, ordered by source."""
    context, window = unit.payload.context, unit.payload.window
    documents, times, packs = read_fates(context, window)
    offsets = pa.array(np.concatenate([[0], np.cumsum(times)]).astype(np.int32))
    numbers = pa.array((packs + unit.payload.first_pack).astype(np.int32))
    table = _table(documents, pa.ListArray.from_arrays(offsets, numbers), context)
    path = f"data/{unit_name('catalogue', window)}.parquet"
    entry = context.output.publish(path, _parquet(table), len(table))
    return receipt(unit.name, entry, counts=_counts(documents))


def format_ids(ids: Keys) -> pa.StringArray:
    """Each id as 16 hex digits."""
    digits = ids.astype(">u8").tobytes().hex().encode()
    offsets = np.arange(len(ids) + 1, dtype=np.int32) * 16
    return pa.StringArray.from_buffers(len(ids), pa.py_buffer(offsets), pa.py_buffer(digits))


def _table(documents: Records, packs: pa.ListArray, context: Context) -> pa.Table:
    columns = context.cost.columns(documents)
    rejected = documents["reason"] > 0
    labels = _labels(context).take(pa.array(documents["file"]))
    arrays = [
        pa.array(columns.ids),
        pc.binary_join_element_wise(labels, format_ids(columns.ids), "#"),
        _names(("kept", "rejected"), rejected.astype(np.int8)),
        _names((None, *REASONS[1:]), documents["reason"]),
        pa.nulls(len(documents), pa.string()),
        _names(FAMILIES, documents["family"]),
        pa.array(columns.tokens),
        pa.array(documents["pairs"]),
        pa.array(columns.cost),
        packs,
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _parquet(table: pa.Table) -> bytes:
    """Parquet bytes. Looking for repetition in columns without any would take long."""
    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        use_dictionary=["status", "reason", "family"],
        column_encoding={
            "tokens": "DELTA_BINARY_PACKED",
            "pairs": "BYTE_STREAM_SPLIT",
            "cost": "BYTE_STREAM_SPLIT",
        },
    )
    return buffer.getvalue()


def _names(names: tuple[str | None, ...], codes: npt.NDArray[Any]) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(codes.astype(np.int64)))


def _labels(context: Context) -> pa.Array:
    """The label of each token file."""
    with storage.open_input(storage.join(context.output.uri, work_file(FILES))) as stream:
        table = pq.ParquetFile(stream).read(columns=["label"], use_threads=False)
    return table["label"].combine_chunks()


def _counts(documents: Records) -> Counts:
    numbers = np.bincount(documents["reason"], minlength=len(REASONS)).tolist()
    rejected = {reason: n for reason, n in zip(REASONS[1:], numbers[1:], strict=True) if n}
    return Counts(total=len(documents), kept=numbers[0], rejected=dict(sorted(rejected.items())))
