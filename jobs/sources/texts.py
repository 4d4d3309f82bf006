"""Texts in `.jsonl` files, one JSON object a line, also compressed as `.zst` or `.gz`: any such file, and
Nemotron-CC's. Lines are read one at a time, and no line beyond the limit is held."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from infra.storage import FileInfo
from jobs.recipe.sources import NemotronCcSource, TextJsonlSource
from jobs.sources import TextRecord
from jobs.sources.damage import one_line, why_damaged
from jobs.sources.lines import CODECS, iter_lines
from jobs.sources.shards import Shard

WANTED = ".jsonl files"

_ESCAPES = 6
"""JSON may take so many bytes for one of the text."""


def list_shards(_source: TextJsonlSource | NemotronCcSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per file."""
    found = [file for file in files if file.uri.endswith(tuple(CODECS))]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(found)]


def read(
    source: TextJsonlSource | NemotronCcSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[TextRecord]:
    """The records of a file, line by line. Damage is one `damaged` record that ends the file."""
    key = source.text_key if isinstance(source, TextJsonlSource) else "text"
    uri = shard.files[0].uri
    number = 0
    try:
        for line in iter_lines(uri, _ESCAPES * max_bytes):
            place = f"{uri}#{number:09d}"
            number += 1
            if line != b"" and (wanted is None or place in wanted):
                yield _record(place, line, key, max_bytes)
    except OSError as error:
        detail = why_damaged(error, f"from line {number} on")
        place = f"{uri}#{number:09d} damaged"
        if wanted is None or place in wanted:
            yield TextRecord(place, reason="damaged", detail=detail)


def _record(place: str, line: bytes | None, key: str, max_bytes: int) -> TextRecord:
    if line is None:
        return TextRecord(place, reason="too_many_bytes", detail=f"the limit is {max_bytes}")
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        return TextRecord(place, reason="not_json", detail=one_line(error))
    text = value.get(key) if isinstance(value, dict) else None
    if not isinstance(text, str):
        return TextRecord(place, reason="no_text", detail=f"no text in {key!r}")
    return checked(place, text, max_bytes)


def checked(place: str, text: str, max_bytes: int, subset: str = "") -> TextRecord:
    """A text that can be stored as UTF-8 and is not too long, or why not."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return TextRecord(place, subset=subset, reason="not_utf8", detail="half of a surrogate pair")
    if size > max_bytes:
        detail = f"{size} bytes, the limit is {max_bytes}"
        return TextRecord(place, subset=subset, reason="too_many_bytes", detail=detail)
    return TextRecord(place, text, subset=subset)
