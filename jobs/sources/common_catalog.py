"""CommonCatalog: Parquet with picture bytes in `jpg` and a machine's captions in `blip2_caption`.

All other columns are carried on as metadata: the licence of each picture, who made it, and where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import CommonCatalogSource
from jobs.sources import Record
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, count_rows, iter_rows, parquet_files
from jobs.sources.values import Row, metadata_json, text

WANTED = ".parquet files"

_PICTURE, _CAPTION = "jpg", "blip2_caption"
_BATCH_ROWS = 16
"""Rows in memory at once: pictures are large."""


def list_shards(_source: CommonCatalogSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per file."""
    tables = enumerate(parquet_files(files))
    return [Shard(f"{number:06d}", (file,), count_rows(file)) for number, file in tables]


def read(
    _source: CommonCatalogSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, row by row, as many as its shard counts: those lost to damage are `not_parquet`.

    Raises:
        UserError: a column is missing.
    """
    columns = (Column(_PICTURE), Column(_CAPTION))
    rows = iter_rows(shard.files[0].uri, columns, count=shard.records, batch_rows=_BATCH_ROWS)
    for place, row in rows:
        if wanted is not None and place not in wanted:
            continue
        if isinstance(row, Lost):
            yield Record(place, reason="not_parquet", detail=row.problem)
        else:
            yield _record(place, row, max_bytes)


def _record(place: str, row: Row, max_bytes: int) -> Record:
    caption, caption_problem = text(row[_CAPTION])
    metadata = metadata_json(row, (_PICTURE, _CAPTION))
    image, reason, detail = row[_PICTURE].as_py(), None, None
    if not isinstance(image, bytes):
        image, reason, detail = None, "no_image", "the row has no picture"
    elif len(image) > max_bytes:
        reason, detail = "too_many_bytes", f"{len(image)} bytes, the limit is {max_bytes}"
        image = None
    return Record(place, image, caption, caption_problem, reason=reason, detail=detail, metadata=metadata)
