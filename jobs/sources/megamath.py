"""MegaMath: Parquet with `text` and `url`. Rows are read in small batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.recipe.sources import MegaMathSource
from jobs.sources import TextRecord
from jobs.sources.shards import Shard
from jobs.sources.texts import checked

WANTED = ".parquet files"

_BATCH_ROWS = 64


def list_shards(_source: MegaMathSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    tables = [file for file in files if file.uri.endswith(".parquet")]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(tables)]


def read(
    _source: MegaMathSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[TextRecord]:
    """The records of a file, row by row. Damage is one `not_parquet` record that ends the file.

    Raises:
        UserError: there is no column `text`.
    """
    uri = shard.files[0].uri
    number = 0
    with storage.open_input(uri) as stream:
        try:
            table = pq.ParquetFile(stream)
            if "text" not in table.schema_arrow.names:
                names = ", ".join(table.schema_arrow.names)
                raise UserError("no column 'text'", uri, f"Is it MegaMath's? Columns: {names}")
            for batch in table.iter_batches(_BATCH_ROWS, columns=["text"]):
                # Arrow does not promise that its strings are UTF-8.
                for value in batch.column("text").cast(pa.large_binary()):
                    place = f"{uri}#{number:09d}"
                    number += 1
                    if wanted is None or place in wanted:
                        yield _record(place, value.as_py(), max_bytes)
        except (pa.ArrowException, OSError) as error:
            detail = f"not readable from row {number} on: {' '.join(str(error).split())[:200]}"
            yield TextRecord(f"{uri}#{number:09d} damaged", reason="not_parquet", detail=detail)


def _record(place: str, data: bytes | None, max_bytes: int) -> TextRecord:
    if data is None:
        return TextRecord(place, reason="no_text", detail="the row has no text")
    try:
        return checked(place, data.decode(), max_bytes)
    except UnicodeDecodeError as error:
        return TextRecord(place, reason="not_utf8", detail=str(error)[:200])
