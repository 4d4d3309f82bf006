"""OmniCorpus-CC: a row of Parquet is a page, `images`, `texts` and `metadata` are parallel lists.

At every place of the lists stands a picture's URL or a text, the other is null. Each URL is a record, and
its group is the page. The text right before the picture, or else right after it, is its caption: the data
set has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from infra.storage import FileInfo
from jobs.recipe.sources import OmniCorpusSource
from jobs.sources import Record
from jobs.sources.fetched import Link, iter_pictures
from jobs.sources.shards import Shard
from jobs.sources.tables import Column, Lost, count_rows, iter_rows, parquet_files
from jobs.sources.values import canonical, is_list, plain

WANTED = ".parquet files"


def _has_lists(type_: pa.DataType) -> bool:
    return is_list(type_) or bool(pa.types.is_null(type_))


_LISTS = (Column("images", "lists", _has_lists), Column("texts", "lists", _has_lists))


def list_shards(source: OmniCorpusSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Spans of `shard_records` pages. How many pictures they have is not known before they are read."""
    spans = [
        (file, start)
        for file in parquet_files(files)
        for start in range(0, count_rows(file), source.shard_records)
    ]
    return [Shard(f"{n:06d}", (file,), 0, start) for n, (file, start) in enumerate(spans)]


def read(
    _source: OmniCorpusSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The pictures of a shard that was fetched."""
    return iter_pictures(shard, max_bytes, wanted)


def links(source: OmniCorpusSource, shard: Shard) -> Iterator[Link]:
    """The links of a raw shard, page by page; a page that is lost to damage is one `not_parquet` link.

    Raises:
        UserError: a column is missing, or holds no lists.
    """
    (file,) = shard.files
    # A file that became shorter since it was listed has lost this shard's pages: at least one.
    pages = min(source.shard_records, max(1, count_rows(file) - shard.start))
    for place, row in iter_rows(file.uri, _LISTS, shard.start, pages):
        if isinstance(row, Lost):
            yield Link(place, reason="not_parquet", detail=row.problem)
        else:
            yield from _page(place, {name: plain(value) for name, value in row.items()})


def _page(page: str, row: dict[str, Any]) -> Iterator[Link]:
    urls, texts, about = (row.get(name) or [] for name in ("images", "texts", "metadata"))
    for place, url in enumerate(urls):
        if isinstance(url, str) and url:
            metadata = {"url": url, "page": row.get("general_metadata"), "picture": _at(about, place)}
            known = {name: value for name, value in metadata.items() if value is not None}
            caption = _at(texts, place - 1) or _at(texts, place + 1)
            yield Link(f"{page}/{place:04d}", url, caption, None, page, canonical(known))


def _at(values: Any, place: int) -> Any:
    return values[place] if isinstance(values, list) and 0 <= place < len(values) else None
