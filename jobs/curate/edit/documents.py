"""From kept rows of a catalogue back to the source's bytes, and into one tar per unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, Segment, TextSegment, format_id
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.curate.edit.records import FAMILY
from jobs.curated import Media, tar_bytes
from jobs.recipe.sources import Source
from jobs.sources import EditRecord
from jobs.sources.read import read_edits
from jobs.sources.shards import Shard
from jobs.units import Unit

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Rows of one unit and the shard that has their pictures."""

    shard: Shard
    rows: tuple[Row, ...]


def plan_units(rows: list[Row], shards: list[Shard], unit_bytes: int | None = None) -> list[Unit[Part]]:
    """Cut rows into units: one per shard, more where the pictures exceed `unit_bytes`.

    Args:
        rows: with `shard`, `source` and `bytes`.
        shards: of the drop.
        unit_bytes: a unit holds no more picture bytes than this, unless one edit alone does.
    """
    by_name = {shard.name: shard for shard in shards}
    ordered = sorted(rows, key=lambda row: (row["shard"], row["source"]))
    units = []
    for name, group in groupby(ordered, key=lambda row: str(row["shard"])):
        for number, part in enumerate(_cut(list(group), unit_bytes)):
            unit_name = f"{name}-{number:03d}" if number else name
            units.append(Unit(unit_name, Part(by_name[name], tuple(part)), len(part)))
    return units


def read_again(part: Part, source: Source) -> Iterator[tuple[Row, EditRecord]]:
    """The rows of a unit with their pictures, in the source's order.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    rows = {row["source"]: row for row in part.rows}
    largest = max(size for row in part.rows for size in row["picture_bytes"])
    for record in read_edits(source, part.shard, largest, frozenset(rows)):
        row = rows.pop(record.source)
        pictures = [*record.inputs, record.output or b""]
        if [hashlib.sha256(data).hexdigest() for data in pictures] != row["sha256"]:
            raise _changed(record.source)
        yield row, record
    if rows:
        raise _changed(min(rows))


def write_unit(unit: Unit[Part], output: Output, source: Source) -> Receipt:
    """Publish the tar of one unit."""
    documents = (edit_document(row, record) for row, record in read_again(unit.payload, source))
    entry = output.publish(f"data/{unit.name}.tar", tar_bytes(documents), unit.size)
    return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))


def edit_document(row: Row, record: EditRecord) -> tuple[Document, Media]:
    """An edit as training reads it: pictures before and the instruction, then the picture to be learnt."""
    assert record.output is not None
    media = {
        f"{format_id(row['sample_id'])}.{number}.{suffix}": data
        for number, (suffix, data) in enumerate(
            zip(row["format"], (*record.inputs, record.output), strict=True)
        )
    }
    *before, after = [_picture(row, number, member) for number, member in enumerate(media)]
    segments: tuple[Segment, ...] = (*before, TextSegment(text=row["instruction"], loss=False), after)
    document = Document(
        sample_id=row["sample_id"],
        family=FAMILY,
        segments=segments,
        metadata={
            "source": row["source"],
            "subset": row["subset"],
            "task": row["task"],
            "truth": json.loads(row["truth"]) if row["truth"] else None,
        },
    )
    return document, media


def _picture(row: Row, number: int, member: str) -> ImageSegment:
    return ImageSegment(
        member=member,
        width=row["width"][number],
        height=row["height"][number],
        sha256=row["sha256"][number],
        loss=number == len(row["width"]) - 1,
    )


def _cut(rows: list[Row], unit_bytes: int | None) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and unit_bytes is not None and size + row["bytes"] > unit_bytes:
            yield part
            part, size = [], 0
        part.append(row)
        size += row["bytes"]
    yield part


def _changed(place: str) -> UserError:
    return UserError("this edit changed after it was measured", place, "Run again: it will be listed anew")
