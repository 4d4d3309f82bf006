"""Shards: the units of work a source is listed into, and how a listing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa

from infra import storage
from infra.manifest import FileEntry, Output, read_table
from infra.storage import FileInfo

SHARDS = "data/shards.parquet"

_SCHEMA = pa.schema(
    [
        ("shard", pa.string()),
        ("part", pa.string()),
        ("records", pa.int64()),
        ("start", pa.int64()),
        ("uri", pa.string()),
        ("bytes", pa.int64()),
        ("version", pa.string()),
    ]
)


@dataclass(frozen=True)
class Shard:
    """Files that one unit of work reads, in order.

    `records` is how many records they hold where the listing can tell, else 0. `start` is the number of the
    first record: of a source that makes its records, or of a shard that is some rows of a file.
    """

    name: str
    files: tuple[FileInfo, ...]
    records: int = 0
    start: int = 0
    part: str = ""
    """Of a mix: which of its sources the shard is of."""


def drawn_shards(world: str, count: int, shard_records: int) -> list[Shard]:
    """Shards of a source whose records are drawn: numbers 0 to `count` - 1 of `world`."""
    place = FileInfo(world, 0, "")
    return [
        Shard(f"{number:06d}", (place,), min(shard_records, count - start), start)
        for number, start in enumerate(range(0, count, shard_records))
    ]


def publish_shards(output: Output, shards: Iterable[Shard]) -> FileEntry:
    """Store the listing of a drop, one row per file."""
    rows = [
        {
            "shard": shard.name,
            "part": shard.part,
            "records": shard.records,
            "start": shard.start,
            "uri": file.uri,
            "bytes": file.bytes,
            "version": file.version,
        }
        for shard in shards
        for file in shard.files
    ]
    return output.publish_table(SHARDS, pa.Table.from_pylist(rows, schema=_SCHEMA))


def read_shards(folder: str) -> list[Shard]:
    """The shards of a raw output folder, in order."""
    rows = read_table(storage.join(folder, SHARDS)).to_pylist()
    return [
        Shard(name, tuple(FileInfo(r["uri"], r["bytes"], r["version"]) for r in group), records, start, part)
        for (name, part, records, start), group in groupby(
            rows, key=lambda r: (r["shard"], r["part"], r["records"], r["start"])
        )
    ]


def without_versions(shards: Iterable[Shard]) -> list[Shard]:
    """Shards for the stages that follow: files written anew with the same content change nothing there."""
    return [
        replace(shard, files=tuple(replace(file, version="") for file in shard.files)) for shard in shards
    ]
