"""CommonCatalog: Parquet with picture bytes in `jpg` and a machine's captions in `blip2_caption`.

All other columns are carried on as metadata: the licence of each picture, who made it, and where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import CommonCatalogSource
from jobs.sources import Record
from jobs.sources.shards import Shard
from jobs.sources.tables import UNREADABLE, Row, count_rows, iter_rows, metadata_json, parquet_files, text

WANTED = ".parquet files"

_PICTURE, _CAPTION = "jpg", "blip2_caption"
_BATCH_ROWS = 16
"""Rows in memory at once: pictures are large."""


def list_shards(_source: CommonCatalogSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per file; one that cannot be counted has one bad record."""
    tables = parquet_files(files)
    counts = [count_rows(file) for file in tables]
    return [
        Shard(f"{n:06d}", (file,), 1 if count is None else count)
        for n, (file, count) in enumerate(zip(tables, counts, strict=True))
    ]


def read(
    _source: CommonCatalogSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, row by row, as many as its shard counts: those lost to damage are `not_parquet`.

    Raises:
        UserError: a column is missing.
    """
    uri = shard.files[0].uri
    problem = "the file has fewer rows"
    number = 0
    try:
        for row in iter_rows(uri, (_PICTURE, _CAPTION), batch_rows=_BATCH_ROWS, count=shard.records):
            place = f"{uri}#{number:09d}"
            number += 1
            if wanted is None or place in wanted:
                yield _record(place, row, max_bytes)
    except UNREADABLE as error:
        problem = f"not readable from row {number} on: {' '.join(str(error).split())[:200]}"
    for missing in range(number, shard.records):
        if wanted is None or f"{uri}#{missing:09d}" in wanted:
            yield Record(f"{uri}#{missing:09d}", reason="not_parquet", detail=problem)


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
