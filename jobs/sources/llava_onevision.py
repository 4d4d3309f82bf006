"""LLaVA-OneVision: Parquet with `id`, `image`, `conversations`, `data_source`, read in small batches.

`image` is a struct with `bytes`, null for dialogues without a picture; `conversations` a list of structs with
`from` (`human` or `gpt`) and `value`, in which `<image>` marks the picture's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra import storage
from infra.errors import UserError
from infra.storage import FileInfo
from jobs.recipe.sources import LlavaOneVisionSource
from jobs.sources import DialogueRecord, Turn
from jobs.sources.shards import Shard

WANTED = ".parquet files"

_BATCH_ROWS = 16
_COLUMNS = ("image", "conversations", "data_source")
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}


def list_shards(_source: LlavaOneVisionSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    tables = [file for file in files if file.uri.endswith(".parquet")]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(tables)]


def read(
    _source: LlavaOneVisionSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[DialogueRecord]:
    """The records of a file, row by row. Damage is one `not_parquet` record that ends the file.

    Raises:
        UserError: a column is missing.
    """
    uri = shard.files[0].uri
    number = 0
    with storage.open_input(uri) as stream:
        try:
            table = pq.ParquetFile(stream)
            if missing := [name for name in _COLUMNS if name not in table.schema_arrow.names]:
                names = ", ".join(table.schema_arrow.names)
                mend = f"Is it LLaVA-OneVision's? Columns: {names}"
                raise UserError(f"no column {missing[0]!r}", uri, mend)
            for batch in table.iter_batches(_BATCH_ROWS, columns=list(_COLUMNS)):
                for row in range(len(batch)):
                    place = f"{uri}#{number:09d}"
                    number += 1
                    if wanted is None or place in wanted:
                        yield _record(place, batch.slice(row, 1), max_bytes)
        except (pa.ArrowException, OSError) as error:
            detail = f"not readable from row {number} on: {' '.join(str(error).split())[:200]}"
            yield DialogueRecord(f"{uri}#{number:09d} damaged", reason="not_parquet", detail=detail)


def _record(place: str, batch: pa.RecordBatch, max_bytes: int) -> DialogueRecord:
    try:
        (row,) = batch.to_pylist()
    except UnicodeDecodeError as error:
        return DialogueRecord(place, reason="not_utf8", detail=str(error)[:200])
    subset = row["data_source"] or ""
    image = (row["image"] or {}).get("bytes")
    if image is not None and len(image) > max_bytes:
        detail = f"{len(image)} bytes, the limit is {max_bytes}"
        return DialogueRecord(place, subset=subset, reason="too_many_bytes", detail=detail)
    turns = [_turn(turn) for turn in row["conversations"] or ()]
    if not turns or None in turns:
        detail = "no turns" if not turns else "a turn without a known speaker or a text"
        return DialogueRecord(place, subset=subset, reason="no_dialogue", detail=detail)
    images = () if image is None else (image,)
    return DialogueRecord(place, images, tuple(turn for turn in turns if turn), subset)


def _turn(value: dict[str, Any]) -> Turn | None:
    role, text = _ROLES.get(value.get("from") or ""), value.get("value")
    if role is None or not isinstance(text, str):
        return None
    return Turn("user" if role == "user" else "assistant", text)
