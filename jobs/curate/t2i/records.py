"""From source records to rows of scores, shard by shard: decoded, measured, identified."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any, Final

import pyarrow as pa

from infra.catalogue import count
from infra.document import sample_id
from infra.manifest import Output, Receipt
from jobs.curate.scores import SCORE_SIDE, measure
from jobs.images import DecodeError, decode_reduced, picture_format
from jobs.sources import Record
from jobs.sources.read import read_pictures
from jobs.sources.shards import Shard
from jobs.specs.t2i import ScoreSettings
from jobs.units import Unit

FAMILY: Final = "t2i"

SCORES_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("shard", pa.string()),
        ("bytes", pa.int64()),
        ("sha256", pa.string()),
        ("caption", pa.string()),
        ("caption_problem", pa.string()),
        ("truth", pa.string()),
        ("metadata", pa.string()),  # JSON: what else the source says, such as the licence
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("entropy", pa.float64()),
        ("sharpness", pa.float64()),
        ("contrast", pa.float64()),
        ("colourfulness", pa.float64()),
        ("border", pa.float64()),
        ("frame", pa.float64()),
        ("perceptual_hash", pa.uint64()),
        ("colours", pa.binary()),  # 8x8 cells, RGB bytes
        ("thumbnail", pa.binary()),  # a small JPEG
    ]
)
"""One row per input record. `reason` here is what the source or the decoding says, no threshold."""


def score_shard(unit: Unit[Shard], output: Output, settings: ScoreSettings) -> Receipt:
    """Score one shard and publish its table. Pictures are held one at a time."""
    records = read_pictures(settings.source, unit.payload, settings.max_bytes)
    rows = [score_row(record, unit.name, settings.max_bytes, settings.max_pixels) for record in records]
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
    entry = output.publish_table(f"data/{unit.name}.scores.parquet", table)
    outcomes = [("rejected" if row["reason"] else "kept", row["reason"]) for row in rows]
    return Receipt(unit=unit.name, files=(entry,), counts=count(len(rows), outcomes))


def score_row(record: Record, shard: str, max_bytes: int, max_pixels: int) -> dict[str, Any]:
    """The row of SCORES_SCHEMA of a record; a bad record has a reason and no scores."""
    row: dict[str, Any] = {
        "sample_id": record_id(record),
        "source": record.source,
        "reason": record.reason,
        "detail": record.detail,
        "shard": shard,
        "caption": record.caption,
        "caption_problem": record.caption_problem,
        "truth": record.truth,
        "metadata": record.metadata,
    }
    if record.image is None:
        return row
    row |= {"bytes": len(record.image), "sha256": hashlib.sha256(record.image).hexdigest()}
    if len(record.image) > max_bytes:
        detail = f"{len(record.image)} bytes, the limit is {max_bytes}"
        return row | {"reason": "too_many_bytes", "detail": detail}
    try:
        picture, width, height = decode_reduced(record.image, SCORE_SIDE, max_pixels)
    except DecodeError as error:
        return row | {"reason": error.reason, "detail": error.detail}
    known = {"width": width, "height": height, "format": picture_format(record.image)}
    return row | known | asdict(measure(picture))


def record_id(record: Record) -> int:
    """The sample id of a record: of its caption and picture, or of its place where it has no picture."""
    caption = (record.caption or "").encode()
    if record.image:
        return sample_id(FAMILY, [caption, record.image])
    return sample_id(FAMILY, [caption, b"", record.source.encode()])
