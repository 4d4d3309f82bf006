"""Edits that an index file lists by the paths of their pictures, which lie in folders or tars below a source.

A path that an index names is data of unknown origin: it is looked up among the files that were listed
below the source, so it cannot leave it, and a link that leads elsewhere is not followed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath

from infra import storage
from infra.storage import FileInfo
from jobs.sources import EditRecord, is_text
from jobs.sources.json_array import DamagedError, Element, iter_elements, iter_elements_from
from jobs.sources.shards import Shard

Files = Mapping[str, FileInfo]
"""Listed files by their path below the source."""

MAX_PICTURES = 16
"""Pictures of one edit; of more none is read, for they would be in memory together."""

_MEMBER = re.compile(r"(?P<tar>.*\.tar)#(?P<name>.*):(?P<offset>\d+)", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """What an index says of one edit. Pictures are paths below the source, in order, the output last.

    `start` is where the index has to be read from to find it again.
    """

    start: int
    place: str
    pictures: tuple[str, ...] = ()
    instruction: str | None = None
    subset: str = ""
    task: str | None = None
    reason: str | None = None
    detail: str | None = None


def root_of(uri: str) -> str:
    """The folder of a source as listings spell it."""
    return uri if storage.is_remote(uri) else os.path.abspath(os.path.expanduser(uri))


def by_path(uri: str, files: Iterable[FileInfo]) -> dict[str, FileInfo]:
    """Files by their path below a source."""
    return {str(relative(uri, file)): file for file in files}


def relative(uri: str, file: FileInfo) -> PurePosixPath:
    """The path of a file below its source."""
    return PurePosixPath(path_of(file).removeprefix(root_of(uri).rstrip("/") + "/"))


def below(*parts: object) -> str:
    """A path below the source, from the parts that files name.

    Raises:
        ValueError: a part is no text, or leads out of the source.
    """
    for part in parts:
        if not isinstance(part, str) or not part or not is_text(part) or "\0" in part or "://" in part:
            raise ValueError(f"{part!r:.100} is no path")
        if part.startswith("/") or ".." in part.split("/"):
            raise ValueError(f"{part!r:.100} leaves the source's folder")
    return str(PurePosixPath(*map(str, parts)))


def leaves(uri: str, file: FileInfo) -> bool:
    """Whether a listed file is a link that leads out of its source."""
    if storage.is_remote(uri):
        return False
    match = _MEMBER.fullmatch(file.uri)
    real = os.path.realpath(match["tar"] if match else file.uri)
    return not real.startswith(os.path.realpath(root_of(uri)) + os.sep)


def member(tar: FileInfo, name: str, offset: int, size: int) -> FileInfo:
    """A file in a tar, by the place of its content."""
    return FileInfo(f"{tar.uri}#{name}:{offset}", size, tar.version)


def path_of(file: FileInfo) -> str:
    """The path of a file; of one in a tar, as if it were unpacked beside the tar."""
    match = _MEMBER.fullmatch(file.uri)
    return f"{match['tar'].rpartition('/')[0]}/{match['name']}" if match else file.uri


def cut(
    entries: Iterable[Entry], indexes: tuple[FileInfo, ...], files: Files, shard_records: int
) -> Iterator[Shard]:
    """Shards of about `shard_records` entries, nameless: the index files, then the pictures they name.

    Entries with one `start` stay together.
    """
    part: list[Entry] = []
    for entry in entries:
        if len(part) >= shard_records and entry.start != part[-1].start:
            yield _shard(part, indexes, files)
            part = []
        part.append(entry)
    if part:
        yield _shard(part, indexes, files)


def read_entries(
    uri: str, shard: Shard, entries: Iterable[Entry], max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[EditRecord]:
    """The records of a shard, from the entries that begin where it starts."""
    files = by_path(uri, shard.files)
    for entry in islice(entries, shard.records):
        if wanted is None or entry.place in wanted:
            yield _load(entry, uri, files, max_bytes)


def json_entries(json: FileInfo, start: int, make: Callable[[Element, str], Entry]) -> Iterator[Entry]:
    """The records of a JSON array, from the one at the byte `start` on; 0 is the file's beginning.

    Damage is one `not_json` record that ends the file. `make` is given an element and its place.
    """
    offset = start
    with storage.open_input(json.uri) as stream:
        try:
            for element in iter_elements_from(stream, start) if start else iter_elements(stream):
                offset = element.offset
                yield make(element, f"{json.uri}#{offset:012d}")
        except DamagedError as error:
            detail = f"{error.problem} at byte {error.offset}"
            yield Entry(offset, f"{json.uri}#{offset:012d} damaged", reason="not_json", detail=detail)


def _shard(entries: list[Entry], indexes: tuple[FileInfo, ...], files: Files) -> Shard:
    named = dict.fromkeys(path for entry in entries for path in entry.pictures)
    pictures = tuple(files[path] for path in named if path in files)
    return Shard("", (*indexes, *pictures), len(entries), entries[0].start)


def _load(entry: Entry, uri: str, files: Files, max_bytes: int) -> EditRecord:
    reason, detail = entry.reason, entry.detail
    if reason is None:
        reason, detail = _problem(entry, uri, files, max_bytes)
    data = [_read(files[path]) for path in entry.pictures] if reason is None else []
    return EditRecord(
        entry.place,
        inputs=tuple(data[:-1]),
        output=data[-1] if data else None,
        instruction=entry.instruction,
        subset=entry.subset,
        task=entry.task,
        reason=reason,
        detail=detail,
    )


def _problem(entry: Entry, uri: str, files: Files, max_bytes: int) -> tuple[str | None, str | None]:
    """Why the pictures of an entry are not read, before any is."""
    if len(entry.pictures) > MAX_PICTURES:
        return "too_many_pictures", f"{len(entry.pictures)} pictures, no source may have over {MAX_PICTURES}"
    for path in entry.pictures:
        if path not in files:
            return "no_file", f"{path} is not there"
        if leaves(uri, files[path]):
            return "bad_path", f"{path} is a link out of the source's folder"
        if files[path].bytes > max_bytes:
            return "too_many_bytes", f"{path} has {files[path].bytes} bytes, the limit is {max_bytes}"
    return None, None


def _read(file: FileInfo) -> bytes:
    match = _MEMBER.fullmatch(file.uri)
    if match:
        return storage.read_range(match["tar"], int(match["offset"]), file.bytes)
    return storage.read_bytes(file.uri)
