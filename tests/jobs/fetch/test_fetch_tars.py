"""Tars are cut by size, in the order of the links."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infra.manifest import Output
from infra.storage import FileInfo
from jobs.fetch.tars import TarWriter
from jobs.sources.fetched import Link, iter_pictures
from jobs.sources.shards import Shard


def write(folder: Path, pictures: list[bytes], tar_bytes: int) -> list[str]:
    async def run() -> list[str]:
        tars = TarWriter(Output(str(folder)), "000000", tar_bytes)
        for number, data in enumerate(pictures):
            link = Link(f"list#{number}", "http://x", "a café", metadata='{"score":0.5}')
            await tars.add(link, "jpg", data)
        await tars.publish()
        assert sum(file.rows for file in tars.files) == len(pictures)
        return [f"{folder}/{file.path}" for file in tars.files]

    return asyncio.run(run())


@given(pictures=st.lists(st.binary(min_size=1, max_size=40), max_size=12), tar_bytes=st.integers(1, 100))
def test_what_was_written_is_read_and_no_tar_is_too_large(
    tmp_path_factory: object, pictures: list[bytes], tar_bytes: int
) -> None:
    folder = tmp_path_factory.mktemp("tars")  # type: ignore[attr-defined]
    paths = write(folder, pictures, tar_bytes)
    shards = [Shard("", (FileInfo(path, 0, ""),)) for path in paths]
    found = [list(iter_pictures(shard, 1 << 20, None)) for shard in shards]
    assert [record.image for part in found for record in part] == pictures
    for part in found:
        assert len(part) <= 1 or sum(len(record.image or b"") for record in part) <= tar_bytes
    for record in (record for part in found for record in part):
        assert (record.caption, record.metadata) == ("a café", '{"score":0.5}')


def test_where_nothing_came_there_is_an_empty_tar(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [], 100)
    assert list(iter_pictures(Shard("", (FileInfo(path, 0, ""),)), 100, None)) == []
