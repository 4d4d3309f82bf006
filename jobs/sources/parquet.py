"""Parquet files with picture bytes and a caption column, also as Hugging Face datasets lays them out.

The picture column is binary, or a struct with `bytes`. Rows are read in small batches, so memory does
not depend on the file's size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.recipe import ParquetSource
from jobs.sources import Record, caption_text
from jobs.sources.shards import Shard

WANTED = ".parquet files"

_BATCH_ROWS = 16


def list_shards(_source: ParquetSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    tables = [file for file in files if file.uri.endswith(".parquet")]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(tables)]


def read(
    source: ParquetSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, row by row. Damage is one `not_parquet` record that ends the file.

    Raises:
        UserError: a column is missing or has another type.
    """
    uri = shard.files[0].uri
    image_column, caption_column = source.image_column, source.caption_column
    number = 0
    with storage.open_input(uri) as stream:
        try:
            table = pq.ParquetFile(stream)
            _check_columns(uri, table.schema_arrow, image_column, caption_column)
            for batch in table.iter_batches(_BATCH_ROWS, columns=[image_column, caption_column]):
                for image, caption in _values(batch, image_column, caption_column):
                    place = f"{uri}#{number:09d}"
                    number += 1
                    if wanted is None or place in wanted:
                        yield _record(place, image, caption, max_bytes)
        except (pa.ArrowException, OSError) as error:
            detail = f"not readable from row {number} on: {' '.join(str(error).split())[:200]}"
            yield Record(f"{uri}#{number:09d} damaged", reason="not_parquet", detail=detail)


def _check_columns(uri: str, schema: pa.Schema, image_column: str, caption_column: str) -> None:
    for column in (image_column, caption_column):
        if column not in schema.names:
            mend = f"Set image_column and caption_column of the source; columns: {', '.join(schema.names)}"
            raise UserError(f"no column {column!r}", uri, mend)
    image = schema.field(image_column).type
    if pa.types.is_struct(image) and image.get_field_index("bytes") >= 0:
        image = image.field("bytes").type
    if not _is_bytes(image):
        raise UserError(f"column {image_column!r} holds {image}, not picture bytes", uri)
    caption = schema.field(caption_column).type
    if not (pa.types.is_string(caption) or pa.types.is_large_string(caption) or _is_bytes(caption)):
        raise UserError(f"column {caption_column!r} holds {caption}, not text", uri)


def _is_bytes(type_: pa.DataType) -> bool:
    return bool(pa.types.is_binary(type_) or pa.types.is_large_binary(type_))


def _values(
    batch: pa.RecordBatch, image_column: str, caption_column: str
) -> Iterator[tuple[bytes | None, bytes | None]]:
    """(picture, caption) as bytes: Arrow does not promise that its strings are UTF-8."""
    images = batch.column(image_column)
    if pa.types.is_struct(images.type):
        images = pc.struct_field(images, "bytes")
    captions = batch.column(caption_column).cast(pa.large_binary())
    for image, caption in zip(images, captions, strict=True):
        yield image.as_py(), caption.as_py()


def _record(place: str, image: bytes | None, caption: bytes | None, max_bytes: int) -> Record:
    if image is None:
        return Record(place, reason="no_image", detail="the row has no picture")
    if len(image) > max_bytes:
        return Record(place, reason="too_many_bytes", detail=f"{len(image)} bytes, the limit is {max_bytes}")
    text, problem = caption_text(caption) if caption is not None else (None, None)
    return Record(place, image, text, problem)
