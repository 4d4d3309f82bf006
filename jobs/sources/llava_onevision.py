"""LLaVA-OneVision: Parquet with `id`, `image`, `conversations`, `data_source`, read in small batches.

`image` is a struct with `bytes`, null for dialogues without a picture; `conversations` a list of structs with
`from` (`human` or `gpt`) and `value`, in which `<image>` marks the picture's place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from infra.storage import FileInfo
from jobs.recipe.sources import LlavaOneVisionSource
from jobs.sources import DialogueRecord, Turn
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, iter_rows, shard_per_file
from jobs.sources.values import Row, is_bytes, is_list, is_text

WANTED = ".parquet files"

_BATCH_ROWS = 16
_ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant"}


def list_shards(_source: LlavaOneVisionSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per Parquet file."""
    return shard_per_file(files)


def read(
    _source: LlavaOneVisionSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[DialogueRecord]:
    """The records of a file, row by row; those lost to damage are `not_parquet`.

    Raises:
        UserError: a column is missing, or holds something else.
    """
    for place, row in iter_rows(shard.files[0].uri, _COLUMNS, others=False, batch_rows=_BATCH_ROWS):
        if wanted is not None and place not in wanted:
            continue
        if isinstance(row, Lost):
            yield DialogueRecord(place, reason="not_parquet", detail=row.problem)
        else:
            yield _record(place, row, max_bytes)


def _has_pictures(type_: pa.DataType) -> bool:
    index = type_.get_field_index("bytes") if pa.types.is_struct(type_) else -1
    return bool(pa.types.is_null(type_)) or (index >= 0 and is_bytes(type_.field(index).type))


def _has_turns(type_: pa.DataType) -> bool:
    return is_list(type_) and bool(pa.types.is_struct(type_.value_type))


_COLUMNS = (
    Column("image", "structs with `bytes`", _has_pictures),
    Column("conversations", "lists of turns", _has_turns),
    Column("data_source", "text", lambda type_: is_text(type_) or bool(pa.types.is_null(type_))),
)


def _record(place: str, scalars: Row, max_bytes: int) -> DialogueRecord:
    try:
        row = {name: scalar.as_py() for name, scalar in scalars.items()}
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


def _turn(value: dict[str, Any] | None) -> Turn | None:
    if value is None:
        return None
    role, text = _ROLES.get(value.get("from") or ""), value.get("value")
    if role is None or not isinstance(text, str):
        return None
    return Turn("user" if role == "user" else "assistant", text)
