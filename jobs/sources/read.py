"""Read the records of a shard, whatever kind of source it is of."""

from __future__ import annotations

from collections.abc import Iterator

from jobs.recipe import FolderSource, ParquetSource, Source, WebDatasetSource
from jobs.sources import Record, folder, parquet, scenes, webdataset
from jobs.sources.shards import Shard


def read_records(
    source: Source, shard: Shard, max_bytes: int, wanted: frozenset[str] | None = None
) -> Iterator[Record]:
    """The records of a shard in a fixed order, bad ones included, one at a time.

    Args:
        source: the recipe's source.
        shard: one of its shards.
        max_bytes: larger pictures are not read; they come with reason `too_many_bytes`.
        wanted: `Record.source` of the records to give; all when absent.
    """
    if isinstance(source, FolderSource):
        return folder.read(shard, max_bytes, wanted)
    if isinstance(source, WebDatasetSource):
        return webdataset.read(shard, max_bytes, wanted, source.caption_key)
    if isinstance(source, ParquetSource):
        return parquet.read(shard, max_bytes, wanted, source.image_column, source.caption_column)
    return scenes.read(shard, source, wanted)
