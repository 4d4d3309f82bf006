"""WebDataset tars, read as streams: members of one key stand together, `key.jpg` and `key.txt`.

Nothing is unpacked, so names in a tar cannot reach the disk. A damaged tar gives its good records and
one record for the damage, which says where reading stopped.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

from infra import storage
from infra.storage import FileInfo
from jobs.recipe import WebDatasetSource
from jobs.sources import MAX_CAPTION_BYTES, PICTURE_SUFFIXES, Record, caption_text, is_text
from jobs.sources.shards import Shard
from jobs.sources.tars import iter_headers, open_tar

WANTED = ".tar files"

_BLOCK = 512
_CAPTION_SUFFIXES = frozenset({"txt", "json"})


@dataclass(frozen=True)
class _Member:
    """One useful member: its content, or the reason why there is none."""

    key: str
    suffix: str
    place: str
    data: bytes | None = None
    reason: str | None = None
    detail: str | None = None


def list_shards(_source: WebDatasetSource, files: Sequence[FileInfo]) -> list[Shard]:
    """One shard per tar."""
    tars = [file for file in files if file.uri.endswith(".tar")]
    return [Shard(f"{number:06d}", (file,)) for number, file in enumerate(tars)]


def read(
    source: WebDatasetSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The records of a tar, in order; only the pictures in `wanted`, if given, are read."""
    members = _members(shard.files[0].uri, max_bytes, wanted)
    seen: set[str] = set()
    for key, group in groupby(members, key=lambda member: member.key):
        for record in _records(list(group), key in seen, source.caption_key):
            if wanted is None or record.source in wanted:
                yield record
        seen.add(key)


def _records(group: list[_Member], repeated: bool, caption_key: str) -> Iterator[Record]:
    """The record of one key, and a `duplicate_key` for each further picture of it."""
    damage = next((m for m in group if m.suffix == ""), None)
    if damage:
        yield Record(damage.place, reason=damage.reason, detail=damage.detail)
        return
    pictures = [m for m in group if m.suffix in PICTURE_SUFFIXES]
    if repeated:
        detail = "this key came before in the tar; members of a key must stand together"
        for member in pictures or group[:1]:
            yield Record(member.place, reason="duplicate_key", detail=detail)
        return
    if not pictures:
        yield Record(group[0].place, reason="no_image", detail="a caption without a picture")
        return
    first, *others = pictures
    caption, problem = _caption(group, caption_key)
    yield Record(first.place, first.data, caption, problem, reason=first.reason, detail=first.detail)
    for member in others:
        yield Record(member.place, reason="duplicate_key", detail=f"same key as {first.place}")


def _caption(group: list[_Member], caption_key: str) -> tuple[str | None, str | None]:
    """The caption of a key; a `.txt` goes before a `.json`."""
    by_suffix = {m.suffix: m.data or b"" for m in reversed(group) if m.suffix in _CAPTION_SUFFIXES}
    if "txt" in by_suffix:
        return caption_text(by_suffix["txt"])
    text, problem = caption_text(by_suffix.get("json", b"{}"))
    return _json_caption(text, caption_key) if text is not None else (None, problem)


def _json_caption(text: str, caption_key: str) -> tuple[str | None, str | None]:
    try:
        caption = json.loads(text).get(caption_key)
    except (ValueError, AttributeError, RecursionError):
        return None, "caption_invalid"
    if caption is None:
        return None, None
    return (caption, None) if is_text(caption) else (None, "caption_invalid")


def _members(uri: str, max_bytes: int, wanted: Iterable[str] | None) -> Iterator[_Member]:
    """Pictures and captions of a tar in order; a last member without suffix for damage."""
    names: dict[str, int] = {}
    place = f"{uri}#"
    current: _Member | None = None
    offset = 0
    try:
        with storage.open_input(uri) as stream, open_tar(stream, "r|") as tar:
            for header in iter_headers(tar):
                offset = header.offset
                current = _describe(uri, header, names)
                if current is not None:
                    place = current.place
                    yield _load(current, tar, header, max_bytes, wanted)
                current = None
            offset = tar.offset
        if storage.read_range(uri, offset, _BLOCK) != bytes(_BLOCK):
            raise tarfile.ReadError("no end mark")
    except tarfile.TarError as error:
        reason = "truncated_tar" if names else "not_a_tar"
        key = current.key if current else f"{place} damaged"
        yield _Member(key, "", f"{place} damaged", None, reason, f"{error} at byte {offset}, after {place}")


def _describe(uri: str, header: tarfile.TarInfo, names: dict[str, int]) -> _Member | None:
    """Key and place of a member that matters; a name that returns gets a number."""
    name = header.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    names[name] = names.get(name, 0) + 1
    path = PurePosixPath(name)
    stem, _, _ = path.name.partition(".")
    suffix = path.suffix[1:].lower()
    if header.isdir() or suffix not in PICTURE_SUFFIXES | _CAPTION_SUFFIXES:
        return None
    number = f"@{names[name]}" if names[name] > 1 else ""
    return _Member(str(path.parent / stem), suffix, f"{uri}#{name}{number}")


def _load(
    member: _Member,
    tar: tarfile.TarFile,
    header: tarfile.TarInfo,
    max_bytes: int,
    wanted: Iterable[str] | None,
) -> _Member:
    """The member with its content, unless that is too large, no file, or not wanted."""
    is_picture = member.suffix in PICTURE_SUFFIXES
    if not header.isreg():
        return _refuse(member, "not_an_image", "a link, not a file")
    if is_picture and wanted is not None and member.place not in wanted:
        return member
    if is_picture and header.size > max_bytes:
        return _refuse(member, "too_many_bytes", f"{header.size} bytes, the limit is {max_bytes}")
    content = tar.extractfile(header)
    limit = header.size if is_picture else min(header.size, MAX_CAPTION_BYTES + 1)
    data = content.read(limit) if content else b""
    return _Member(member.key, member.suffix, member.place, data)


def _refuse(member: _Member, reason: str, detail: str) -> _Member:
    return _Member(member.key, member.suffix, member.place, None, reason, detail)
