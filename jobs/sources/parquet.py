"""Parquet files with picture bytes and a caption column, also as Hugging Face datasets lays them out.

The picture column is binary, or a struct with `bytes`. Rows are read in small batches, so memory does
not depend on the file's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from infra.storage import FileInfo
from jobs.recipe import ParquetSource
from jobs.sources import Record, caption_text
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, iter_rows, shard_per_file
from jobs.sources.values import Row, is_bytes, is_text

WANTED = ".parquet files"

_BATCH_ROWS = 16


def list_shards(_source: ParquetSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    return shard_per_file(files)


def read(
    source: ParquetSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, row by row; those lost to damage are `not_parquet`.

    Raises:
        UserError: a column is missing or has another type.
    """
    columns = (
        Column(source.image_column, "picture bytes", _has_pictures),
        Column(source.caption_column, "text", lambda type_: is_text(type_) or is_bytes(type_)),
    )
    for place, row in iter_rows(shard.files[0].uri, columns, others=False, batch_rows=_BATCH_ROWS):
        if wanted is not None and place not in wanted:
            continue
        if isinstance(row, Lost):
            yield Record(place, reason="not_parquet", detail=row.problem)
        else:
            yield _record(source, place, row, max_bytes)


def _has_pictures(type_: pa.DataType) -> bool:
    if pa.types.is_struct(type_) and type_.get_field_index("bytes") >= 0:
        type_ = type_.field("bytes").type
    return is_bytes(type_)


def _record(source: ParquetSource, place: str, row: Row, max_bytes: int) -> Record:
    image, caption = _bytes(row[source.image_column]), _bytes(row[source.caption_column])
    if image is None:
        return Record(place, reason="no_image", detail="the row has no picture")
    if len(image) > max_bytes:
        return Record(place, reason="too_many_bytes", detail=f"{len(image)} bytes, the limit is {max_bytes}")
    text, problem = caption_text(caption) if caption is not None else (None, None)
    return Record(place, image, text, problem)


def _bytes(scalar: Any) -> bytes | None:
    """The bytes of a picture or of a text, which Arrow does not promise to be UTF-8."""
    if scalar.is_valid and pa.types.is_struct(scalar.type):
        scalar = scalar["bytes"]
    return bytes(scalar.as_buffer().to_pybytes()) if scalar.is_valid else None
