"""The ledger: one row for each URL, with all that came of asking for it."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from infra.catalogue import BASE_FIELDS
from infra.document import Family, sample_id
from jobs.fetch.outcome import Outcome
from jobs.sources.fetched import Link

LEDGER_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("url", pa.string()),
        ("http_status", pa.int32()),
        ("attempts", pa.int32()),  # over all rounds
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("content_type", pa.string()),
        ("caption", pa.string()),
        ("caption_problem", pa.string()),
        ("group", pa.string()),
        ("metadata", pa.string()),  # a JSON object: the source's other columns
        ("part", pa.string()),  # of a mix
        ("shard", pa.string()),
        ("tar", pa.string()),  # path in this output
        ("member", pa.string()),
    ]
)
"""One row per record of the raw shard. Of a mix, records that are no URLs have null from `url` on."""

Row = dict[str, Any]


def link_row(link: Link, outcome: Outcome, family: Family, picture: bytes | None) -> Row:
    """The row of a link, without its place in this output."""
    return {
        "sample_id": _id(family, link, picture),
        "source": link.source,
        "status": outcome.status,
        "reason": outcome.reason,
        "detail": outcome.detail,
        "url": link.url,
        "http_status": outcome.http_status,
        "attempts": outcome.attempts,
        "bytes": outcome.bytes,
        "sha256": outcome.sha256,
        "content_type": outcome.content_type,
        "caption": link.caption,
        "caption_problem": link.caption_problem,
        "group": link.group,
        "metadata": link.metadata,
    }


def listed_row(source: str, family: Family) -> Row:
    """The row of a record that is no URL, which later stages read where it is."""
    return {"sample_id": _id(family, Link(source), None), "source": source, "status": "kept"}


def row_outcome(row: Row) -> Outcome:
    """The outcome that a row tells."""
    names = ("status", "reason", "detail", "http_status", "attempts", "bytes", "sha256", "content_type")
    suffix = row["member"].rpartition(".")[2] if row["member"] else None
    return Outcome(**{name: row[name] for name in names}, suffix=suffix)


def _id(family: Family, link: Link, picture: bytes | None) -> int:
    """A hash of caption and picture, or of the place of a record that has none."""
    caption = (link.caption or "").encode()
    if picture:
        return sample_id(family, [caption, picture])
    return sample_id(family, [caption, b"", link.source.encode()])
