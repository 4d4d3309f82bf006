"""MegaMath: Parquet with `text` and `url`. Rows are read in small batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import MegaMathSource
from jobs.sources import TextRecord
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, iter_rows, shard_per_file
from jobs.sources.texts import checked
from jobs.sources.values import is_text, text_bytes

WANTED = ".parquet files"

_TEXT = Column("text", "text", is_text)
_BATCH_ROWS = 64


def list_shards(_source: MegaMathSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    return shard_per_file(files)


def read(
    _source: MegaMathSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[TextRecord]:
    """The records of a file, row by row; those lost to damage are `not_parquet`.

    Raises:
        UserError: there is no column `text`, or it holds something else.
    """
    for place, row in iter_rows(shard.files[0].uri, (_TEXT,), others=False, batch_rows=_BATCH_ROWS):
        if wanted is not None and place not in wanted:
            continue
        if isinstance(row, Lost):
            yield TextRecord(place, reason="not_parquet", detail=row.problem)
        else:
            yield _record(place, text_bytes(row[_TEXT.name]), max_bytes)


def _record(place: str, data: bytes | None, max_bytes: int) -> TextRecord:
    if data is None:
        return TextRecord(place, reason="no_text", detail="the row has no text")
    try:
        return checked(place, data.decode(), max_bytes)
    except UnicodeDecodeError as error:
        return TextRecord(place, reason="not_utf8", detail=str(error)[:200])
