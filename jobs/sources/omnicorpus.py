"""OmniCorpus-CC: a row of Parquet is a page, `images`, `texts` and `metadata` are parallel lists.

At every place of the lists stands a picture's URL or a text, the other is null. Each URL is a record, and
its group is the page. The text right before the picture, or else right after it, is its caption: the data
set has none of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from infra.storage import FileInfo
from jobs.recipe.sources import OmniCorpusSource
from jobs.sources import Record
from jobs.sources.fetched import Link, iter_pictures
from jobs.sources.shards import Shard
from jobs.sources.tables import UNREADABLE, canonical, count_rows, iter_rows, parquet_files, plain

WANTED = ".parquet files"


def list_shards(source: OmniCorpusSource, files: Sequence[FileInfo]) -> list[Shard]:
    """Spans of `shard_records` pages. How many pictures they have is not known before they are read."""
    spans = [
        (file, start)
        for file in parquet_files(files)
        for start in range(0, count_rows(file) or 1, source.shard_records)
    ]
    return [Shard(f"{n:06d}", (file,), 0, start) for n, (file, start) in enumerate(spans)]


def read(
    _source: OmniCorpusSource, shard: Shard, max_bytes: int, wanted: frozenset[str] | None
) -> Iterator[Record]:
    """The pictures of a shard that was fetched."""
    return iter_pictures(shard, max_bytes, wanted)


def links(source: OmniCorpusSource, shard: Shard) -> Iterator[Link]:
    """The links of a raw shard, page by page. Damage is one `not_parquet` link that ends the shard.

    Raises:
        UserError: a column is missing.
    """
    uri = shard.files[0].uri
    number = shard.start
    try:
        for row in iter_rows(uri, ("images", "texts"), shard.start, source.shard_records):
            yield from _page(f"{uri}#{number:09d}", {name: plain(value) for name, value in row.items()})
            number += 1
    except UNREADABLE as error:
        detail = f"not readable from row {number} on: {' '.join(str(error).split())[:200]}"
        yield Link(f"{uri}#{number:09d} damaged", reason="not_parquet", detail=detail)


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
