"""Lists of URLs in Parquet: Megalith-10M, Re-LAION and COYO-700M.

A raw shard is a span of a file's rows, whose links are fetched; the shards that fetching publishes have
tars instead, whose pictures are read. All columns but the caption are carried on as metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from infra.storage import FileInfo
from jobs.recipe.sources import CoyoSource, MegalithSource, ReLaionSource, UrlSource
from jobs.sources import Record
from jobs.sources.fetched import Link, iter_pictures
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, count_rows, iter_rows, parquet_files
from jobs.sources.values import Row, metadata_json, plain, text

WANTED = ".parquet files"

_URLS: dict[type[UrlSource], tuple[str, ...]] = {
    MegalithSource: ("url_highres", "url"),
    ReLaionSource: ("url",),
    CoyoSource: ("url",),
}
"""Columns with URLs; the first that has one is fetched."""

_CAPTIONS: dict[type[UrlSource], str] = {ReLaionSource: "caption", CoyoSource: "text"}


def list_shards(source: UrlSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Spans of `shard_records` rows; a file that cannot be counted is one shard of one bad record."""
    spans = [
        (file, start, min(source.shard_records, rows - start))
        for file in parquet_files(files)
        for rows in [count_rows(file)]
        for start in range(0, rows, source.shard_records)
    ]
    return [Shard(f"{n:06d}", (file,), records, start) for n, (file, start, records) in enumerate(spans)]


def read(_source: UrlSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None) -> Iterator[Record]:
    """The pictures of a shard that was fetched."""
    return iter_pictures(shard, max_bytes, wanted)


def links(source: UrlSource, shard: Shard) -> Iterator[Link]:
    """The links of a raw shard, as many as it counts: rows that cannot be read are `not_parquet`.

    Raises:
        UserError: a column is missing.
    """
    for place, row in iter_rows(shard.files[0].uri, _needed(source), shard.start, shard.records):
        if isinstance(row, Lost):
            yield Link(place, reason="not_parquet", detail=row.problem)
        else:
            yield _link(source, place, row)


def _needed(source: UrlSource) -> list[Column]:
    caption = _CAPTIONS.get(type(source))
    return [Column("url"), *([Column(caption)] if caption else [])]


def _link(source: UrlSource, place: str, row: Row) -> Link:
    caption_column = _CAPTIONS.get(type(source), "")
    caption, problem = text(row.get(caption_column))
    metadata = metadata_json(row, {caption_column})
    urls = [plain(row[column]) for column in _URLS[type(source)] if column in row]
    url = next((url for url in urls if url and isinstance(url, str)), None)
    if url is None:
        return Link(place, None, caption, problem, None, metadata, "no_url", "the row has no URL")
    return Link(place, url, caption, problem, None, metadata)
