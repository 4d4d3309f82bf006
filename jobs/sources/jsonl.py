"""Pictures listed in `.jsonl` files, also `.zst` and `.gz`: on a line a path, a caption and more.

A path is relative to the folder of the file that lists it and never leaves that folder: not by `..`, not
as an absolute path, not through a link on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from infra import storage
from infra.storage import FileInfo
from jobs.recipe.sources import JsonlSource
from jobs.sources import MAX_CAPTION_BYTES, Record, caption_text
from jobs.sources.lines import CODECS, iter_lines
from jobs.sources.shards import Shard
from jobs.sources.tables import canonical, json_value

WANTED = ".jsonl files"

_LINE_BYTES = 4 * MAX_CAPTION_BYTES


def list_shards(_source: JsonlSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per file."""
    lists = [file for file in files if file.uri.endswith(tuple(CODECS))]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(lists)]


def read(
    source: JsonlSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, line by line. Damage is one `damaged` record that ends the file."""
    uri = shard.files[0].uri
    for number, line in enumerate(_lines(uri)):
        place = f"{uri}#{number:09d}"
        if isinstance(line, OSError):
            detail = f"not readable from line {number} on: {' '.join(str(line).split())[:200]}"
            yield Record(f"{place} damaged", reason="damaged", detail=detail)
        elif line != b"" and (wanted is None or place in wanted):
            yield _record(source, place, line, max_bytes)


def _lines(uri: str) -> Iterator[bytes | OSError | None]:
    """The file's lines, and the error that ends it where it is damaged."""
    try:
        yield from iter_lines(uri, _LINE_BYTES)
    except OSError as error:
        yield error


def _record(source: JsonlSource, place: str, line: bytes | None, max_bytes: int) -> Record:
    if line is None:
        return Record(place, reason="not_json", detail=f"a line of more than {_LINE_BYTES} bytes")
    try:
        said = json.loads(line)
        row = json_value(said)
    except (ValueError, RecursionError):
        return Record(place, reason="not_json", detail="the line is no JSON")
    if not isinstance(row, dict):
        return Record(place, reason="not_json", detail="the line is no JSON object")
    path, caption = row.pop(source.image_key, None), row.pop(source.caption_key, None)
    # JSON can spell halves of surrogate pairs, which are no text.
    broken = caption is not None and (not isinstance(caption, str) or caption != said[source.caption_key])
    caption, problem = (None, "caption_invalid") if broken else _caption(caption)
    folder = place.rpartition("#")[0].rpartition("/")[0]
    image, reason, detail = _picture(folder, path, max_bytes)
    return Record(place, image, caption, problem, reason=reason, detail=detail, metadata=canonical(row))


def _caption(value: str | None) -> tuple[str | None, str | None]:
    return (None, None) if value is None else caption_text(value.encode())


def _picture(folder: str, path: Any, max_bytes: int) -> tuple[bytes | None, str | None, str | None]:
    """A picture's bytes, or the reason why there are none, with its detail."""
    if not isinstance(path, str) or not path:
        return None, "no_image", "the line has no path"
    try:
        uri = _inside(folder, storage.join(folder, path))
    except ValueError as error:
        return None, "bad_path", str(error)
    if not storage.exists(uri):
        return None, "missing_file", f"no file {path}"
    size = storage.file_info(uri).bytes
    if size > max_bytes:
        return None, "too_many_bytes", f"{size} bytes, the limit is {max_bytes}"
    return storage.read_bytes(uri), None, None


def _inside(folder: str, uri: str) -> str:
    """Where a picture really is.

    Raises:
        ValueError: a link on the disk leads out of the folder, or the path is none.
    """
    if storage.is_remote(uri):
        return uri
    real, top = os.path.realpath(uri), os.path.realpath(folder)
    if os.path.commonpath([real, top]) != top:
        raise ValueError("a link leads out of the folder")
    return real
