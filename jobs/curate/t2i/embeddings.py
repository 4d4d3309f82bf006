"""Stored embeddings: Parquet with half floats as bytes, a row for each decodable picture of a drop.

Shapes: N pictures, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from infra import storage
from infra.manifest import FileEntry, Output, read_manifest, read_table

SUFFIX = ".embeddings.parquet"

SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("embedding", pa.binary(), nullable=False),  # half floats, little endian, of length one
        pa.field("aesthetic", pa.float64(), nullable=False),
    ]
)

Halves = npt.NDArray[np.float16]


def to_bytes(vector_D: npt.NDArray[np.floating[Any]]) -> bytes:
    """A vector as it is stored."""
    return vector_D.astype("<f2").tobytes()


def publish_embeddings(output: Output, unit: str, rows: list[dict[str, Any]]) -> FileEntry:
    """Publish `data/<unit>.embeddings.parquet`."""
    return output.publish_table(f"data/{unit}{SUFFIX}", pa.Table.from_pylist(rows, schema=SCHEMA))


def read_aesthetics(folder: str, paths: Sequence[str]) -> dict[str, float]:
    """The aesthetic score of every picture in some files of `publish_embeddings`, by source."""
    tables = (read_table(storage.join(folder, path), ["source", "aesthetic"]) for path in paths)
    return {row["source"]: row["aesthetic"] for table in tables for row in table.to_pylist()}


def read_embeddings(folder: str, sources: Sequence[str]) -> Halves:
    """The embeddings [N, D] of some pictures of a finished `t2i/embedded`, in the order of their sources."""
    numbers = {source: number for number, source in enumerate(sources)}
    vectors_ND: Halves = np.empty((len(sources), 0), np.float16)
    for path in read_manifest(folder).paths(SUFFIX):
        table = read_table(storage.join(folder, path), ["source", "embedding"])
        for source, data in zip(table["source"].to_pylist(), table["embedding"], strict=True):
            if (number := numbers.pop(source, None)) is None:
                continue
            vector_D = np.frombuffer(data.as_py(), "<f2")
            if not vectors_ND.shape[1]:
                vectors_ND = np.empty((len(sources), len(vector_D)), np.float16)
            vectors_ND[number] = vector_D
    assert not numbers, f"{len(numbers)} pictures were never embedded"
    return vectors_ND
