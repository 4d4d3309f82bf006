"""A folder of pictures, each beside a `.txt` of the same name that holds its caption.

A record is a picture; a `.txt` without one is no record. Of two pictures with one name
(`a.jpg`, `a.png`) the first in the order of names has the caption, the other is a `duplicate_key`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import PurePosixPath

from infra import storage
from infra.storage import FileInfo
from jobs.recipe import FolderSource
from jobs.sources import MAX_CAPTION_BYTES, PICTURE_SUFFIXES, Record, caption_text
from jobs.sources.shards import Shard

WANTED = "pictures"


def list_shards(source: FolderSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Cut a folder's files into shards of about `shard_records` pictures; a name is never split."""
    shard_records = source.shard_records
    shards: list[Shard] = []
    members: list[FileInfo] = []
    pictures = 0
    for group in _by_name(files):
        count = sum(map(_is_picture, group))
        if count and pictures and pictures + count > shard_records:
            shards.append(Shard(f"{len(shards):06d}", tuple(members), pictures))
            members, pictures = [], 0
        if count:
            members += group
            pictures += count
    if members:
        shards.append(Shard(f"{len(shards):06d}", tuple(members), pictures))
    return shards


def read(
    _source: FolderSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a shard; only those in `wanted`, if given, are read."""
    for group in _by_name(shard.files):
        first, *others = [file for file in group if _is_picture(file)]
        captions = [file for file in group if not _is_picture(file)]
        if wanted is None or _place(first) in wanted:
            yield _record(first, captions, max_bytes)
        for file in others:
            if wanted is None or _place(file) in wanted:
                yield Record(
                    _place(file),
                    group=_folder(file),
                    reason="duplicate_key",
                    detail=f"same name as {first.uri}",
                )


def _record(file: FileInfo, captions: list[FileInfo], max_bytes: int) -> Record:
    if file.bytes > max_bytes:
        detail = f"{file.bytes} bytes, the limit is {max_bytes}"
        return Record(_place(file), group=_folder(file), reason="too_many_bytes", detail=detail)
    caption, problem = _caption(captions[0]) if captions else (None, None)
    image = storage.read_bytes(file.uri)
    return Record(_place(file), image, caption, problem, group=_folder(file))


def _caption(file: FileInfo) -> tuple[str | None, str | None]:
    # Of a file that is too long, enough is read to see that it is.
    return caption_text(storage.read_range(file.uri, 0, min(file.bytes, MAX_CAPTION_BYTES + 1)))


def _by_name(files: Sequence[FileInfo]) -> Iterator[list[FileInfo]]:
    """Pictures and captions that share a path up to the extension, in the order of paths."""
    useful = [f for f in files if _is_picture(f) or _suffix(f) == "txt"]
    ordered = sorted(useful, key=lambda f: (_stem(f), f.uri))
    return (list(group) for _, group in groupby(ordered, key=_stem))


def _is_picture(file: FileInfo) -> bool:
    return _suffix(file) in PICTURE_SUFFIXES


def _suffix(file: FileInfo) -> str:
    return PurePosixPath(file.uri).suffix[1:].lower()


def _stem(file: FileInfo) -> str:
    return file.uri.rpartition(".")[0]


def _folder(file: FileInfo) -> str:
    return file.uri.rpartition("/")[0]


def _place(file: FileInfo) -> str:
    name = file.uri.rpartition("/")[2]
    return f"{_folder(file)}#{name}"
