"""Pictures that are URLs: the links a source lists, and the tars that fetching makes of them.

A tar is WebDataset: for each picture a JSON with its caption and all that the source says of it, then
the original bytes. The JSON stands first, so that pictures nobody asks for are never read.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from infra import storage
from jobs.sources import Record
from jobs.sources.shards import Shard
from jobs.sources.values import canonical


@dataclass(frozen=True)
class Link:
    """One picture as a source lists it; see `Record`. A link that cannot be had has a `reason`, no URL."""

    source: str
    url: str | None = None
    caption: str | None = None
    caption_problem: str | None = None
    group: str | None = None
    metadata: str | None = None
    reason: str | None = None
    detail: str | None = None


def picture_members(key: str, suffix: str, link: Link, picture: bytes) -> dict[str, bytes]:
    """The members of one picture's part of a tar, in order: its JSON, then its bytes."""
    entry = {name: value for name, value in asdict(link).items() if value is not None}
    if link.metadata is not None:
        entry["metadata"] = json.loads(link.metadata)
    return {f"{key}.json": (canonical(entry) or "").encode(), f"{key}.{suffix}": picture}


def pictures_tar(members: Mapping[str, bytes]) -> bytes:
    """A reproducible tar: members in their order, fixed times, owners and modes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            header.mode = 0o644
            tar.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def iter_pictures(shard: Shard, max_bytes: int, wanted: frozenset[str] | None) -> Iterator[Record]:
    """The records of a shard whose files are such tars; only those in `wanted`, if given, are read."""
    for file in shard.files:
        assert file.uri.endswith(".tar"), f"{file.uri} lists URLs; its pictures are in <family>/fetched"
        with storage.open_input(file.uri) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            entry: dict[str, Any] = {}
            for member in tar:
                if member.name.endswith(".json"):
                    entry = json.loads(_content(tar, member))
                elif wanted is None or entry["source"] in wanted:
                    yield _record(entry, tar, member, max_bytes)


def _record(entry: dict[str, Any], tar: tarfile.TarFile, member: tarfile.TarInfo, max_bytes: int) -> Record:
    reason = detail = image = None
    if member.size > max_bytes:
        reason, detail = "too_many_bytes", f"{member.size} bytes, the limit is {max_bytes}"
    else:
        image = _content(tar, member)
    return Record(
        entry["source"],
        image,
        entry.get("caption"),
        entry.get("caption_problem"),
        group=entry.get("group"),
        reason=reason,
        detail=detail,
        metadata=canonical(entry.get("metadata", {})),
    )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    content = tar.extractfile(member)
    assert content is not None, f"{member.name} is no file"
    return content.read()
