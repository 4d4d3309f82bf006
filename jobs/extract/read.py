"""Where the rows of a finished extraction are."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow.parquet as pq

from infra import storage
from infra.manifest import read_manifest
from jobs.schemas import DocumentTokens, from_row

CATALOGUE = "data/catalogue.parquet"


def token_files(folder: str) -> list[str]:
    """Paths of the token files of a finished tokens folder, relative to it, in order."""
    return [path for path in read_manifest(folder).paths(".parquet") if path != CATALOGUE]


def iter_rows(folder: str) -> Iterator[DocumentTokens]:
    """The documents of a finished tokens folder, file by file; one row group in memory at a time."""
    for path in token_files(folder):
        with storage.open_input(storage.join(folder, path)) as stream:
            for batch in pq.ParquetFile(stream).iter_batches(batch_size=64):
                yield from map(from_row, batch.to_pylist())
