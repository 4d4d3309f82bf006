"""From source records to rows of scores, shard by shard: decoded, measured against each other, identified."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import pyarrow as pa
from PIL import Image

from infra.catalogue import count
from infra.document import sample_id
from infra.manifest import Output, Receipt
from jobs.curate.captions import normalise
from jobs.curate.edit.pairs import measure_pair, thumbnail, working_copy
from jobs.images import DecodeError, decode, picture_format
from jobs.recipe.curation.edit import EditLimits
from jobs.sources import EditRecord
from jobs.sources.read import read_edits
from jobs.sources.shards import Shard
from jobs.specs.edit import EditScoreSettings
from jobs.units import Unit

FAMILY: Final = "edit"

SCORES_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("shard", pa.string()),
        ("subset", pa.string()),
        ("source_task", pa.string()),
        ("instruction", pa.string()),
        ("truth", pa.string()),
        ("bytes", pa.int64()),  # of all pictures
        # One entry for each picture, in order; the picture after is the last.
        ("picture_bytes", pa.list_(pa.int64())),
        ("sha256", pa.list_(pa.string())),
        ("format", pa.list_(pa.string())),
        ("width", pa.list_(pa.int32())),
        ("height", pa.list_(pa.int32())),
        ("compared", pa.int32()),  # which picture before is measured against the one after
        ("changed", pa.float64()),
        ("left", pa.float64()),
        ("top", pa.float64()),
        ("right", pa.float64()),
        ("bottom", pa.float64()),
        ("ssim", pa.float64()),
        ("psnr", pa.float64()),
        ("hash_distance", pa.int32()),
        ("before", pa.binary()),  # small JPEGs
        ("after", pa.binary()),
    ]
)
"""One row per input record. `reason` here is what the source or the decoding says, no threshold."""

THUMBNAILS = ("before", "after")


@dataclass(frozen=True)
class _Seen:
    """One decoded picture, and its working copy."""

    width: int
    height: int
    format: str
    copy: Image.Image


def score_shard(unit: Unit[Shard], output: Output, settings: EditScoreSettings) -> Receipt:
    """Score one shard and publish its table. The pictures of one edit are held at a time."""
    records = read_edits(settings.source, unit.payload, settings.limits.max_bytes)
    rows = [score_row(record, unit.payload, settings.limits) for record in records]
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
    entry = output.publish_table(f"data/{unit.name}.scores.parquet", table)
    outcomes = [("rejected" if row["reason"] else "kept", row["reason"]) for row in rows]
    return Receipt(unit=unit.name, files=(entry,), counts=count(len(rows), outcomes))


def score_row(record: EditRecord, shard: Shard, limits: EditLimits) -> dict[str, Any]:
    """The row of SCORES_SCHEMA of a record; a bad record has a reason and no scores."""
    pictures = [*record.inputs, record.output] if record.output is not None else []
    instruction = normalise(record.instruction or "")
    row: dict[str, Any] = {
        "sample_id": edit_id(instruction, pictures, record.source),
        "source": record.source,
        "reason": record.reason,
        "detail": record.detail,
        "shard": shard.name,
        # In a mix of sources, subsets of two of them may have one name.
        "subset": "/".join(filter(None, (shard.part, record.subset))),
        "source_task": record.task,
        "instruction": instruction,
        "truth": record.truth,
    }
    if record.reason is not None:
        return row
    return row | _score_pictures(pictures, limits)


def edit_id(instruction: str, pictures: list[bytes], source: str) -> int:
    """The sample id of an edit: of its instruction and pictures, or of its place where it has no pictures."""
    return sample_id(FAMILY, [instruction.encode(), *(pictures or [b"", source.encode()])])


def _score_pictures(pictures: list[bytes], limits: EditLimits) -> dict[str, Any]:
    sizes = [len(data) for data in pictures]
    known: dict[str, Any] = {
        "bytes": sum(sizes),
        "picture_bytes": sizes,
        "sha256": [hashlib.sha256(data).hexdigest() for data in pictures],
    }
    if len(pictures) > limits.max_pictures:
        detail = f"{len(pictures)} pictures, the limit is {limits.max_pictures}"
        return known | {"reason": "too_many_pictures", "detail": detail}
    if max(sizes) > limits.max_bytes:
        detail = f"{max(sizes)} bytes, the limit is {limits.max_bytes}"
        return known | {"reason": "too_many_bytes", "detail": detail}
    seen: list[_Seen] = []
    for data in pictures:
        try:
            seen.append(_look(data, limits.max_pixels))
        except DecodeError as error:
            which = f"picture {len(seen) + 1} of {len(pictures)}"
            return known | {"reason": error.reason, "detail": f"{which}: {error.detail}"}
    return known | _measure(seen)


def _look(data: bytes, max_pixels: int) -> _Seen:
    picture = decode(data, max_pixels)
    return _Seen(picture.width, picture.height, picture_format(data), working_copy(picture))


def _measure(seen: list[_Seen]) -> dict[str, Any]:
    *inputs, output = seen
    compared = _compared(inputs, output)
    before, after = inputs[compared].copy, output.copy
    return {
        "format": [one.format for one in seen],
        "width": [one.width for one in seen],
        "height": [one.height for one in seen],
        "compared": compared,
        **asdict(measure_pair(before, after)),
        "before": thumbnail(before),
        "after": thumbnail(after),
    }


def _compared(inputs: Iterable[_Seen], output: _Seen) -> int:
    """The picture that was edited: the first of the same size as the result, else the first."""
    sizes = [(one.width, one.height) for one in inputs]
    return sizes.index((output.width, output.height)) if (output.width, output.height) in sizes else 0
