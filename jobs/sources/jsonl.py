"""Pictures listed in `.jsonl` files, also `.zst` and `.gz`: on a line a path, a caption and more.

A path is relative to the folder of the file that lists it and never leaves that folder: not by `..`, not
as an absolute path or an address, not through a link on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from infra import storage
from infra.manifest import digest
from infra.storage import FileInfo
from jobs.recipe.sources import JsonlSource
from jobs.sources import MAX_CAPTION_BYTES, Record, caption_text
from jobs.sources.damage import why_damaged
from jobs.sources.lines import CODECS, iter_lines
from jobs.sources.shards import Shard
from jobs.sources.values import canonical, json_value

WANTED = ".jsonl files"

_LINE_BYTES = 4 * MAX_CAPTION_BYTES


def list_shards(_source: JsonlSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per list. Its version is also that of all files below its folder, which it may name."""
    lists = [file for file in files if _is_list(file)]
    named = [f"{file.uri} {file.bytes} {file.version}" for file in files if not _is_list(file)]
    below = {folder: _below(folder, named) for folder in {_folder(file.uri) for file in lists}}
    versions = (digest([file.version, below[_folder(file.uri)]]) for file in lists)
    marked = (replace(file, version=version) for file, version in zip(lists, versions, strict=True))
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(marked)]


def _is_list(file: FileInfo) -> bool:
    return file.uri.endswith(tuple(CODECS))


def _below(folder: str, files: Sequence[str]) -> str:
    return digest([file for file in files if file.startswith(f"{folder}/")])


def read(
    source: JsonlSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a file, line by line. Damage is one `damaged` record that ends the file."""
    uri = shard.files[0].uri
    for number, line in enumerate(_lines(uri)):
        damaged = isinstance(line, OSError)
        place = f"{uri}#{number:09d}{' damaged' if damaged else ''}"
        if line == b"" or (wanted is not None and place not in wanted):
            continue
        if isinstance(line, OSError):
            yield Record(place, reason="damaged", detail=why_damaged(line, f"from line {number} on"))
        else:
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
    broken = caption is not None and (not isinstance(caption, str) or caption != said.get(source.caption_key))
    caption, problem = (None, "caption_invalid") if broken else _caption(caption)
    image, reason, detail = _picture(_folder(place.rpartition("#")[0]), path, max_bytes)
    return Record(place, image, caption, problem, reason=reason, detail=detail, metadata=canonical(row))


def _folder(uri: str) -> str:
    return uri.rpartition("/")[0]


def _caption(value: str | None) -> tuple[str | None, str | None]:
    return (None, None) if value is None else caption_text(value.encode())


def _picture(folder: str, path: Any, max_bytes: int) -> tuple[bytes | None, str | None, str | None]:
    """A picture's bytes, or the reason why there are none, with its detail."""
    if not isinstance(path, str) or not path:
        return None, "no_image", "the line has no path"
    if "://" in path:
        return None, "bad_path", "an address, not a path"
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
