"""From kept rows of a catalogue back to the source's bytes, and into one tar per unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.errors import UserError
from infra.manifest import Output, Receipt
from jobs.curate.t2i.records import FAMILY
from jobs.curated import Media, tar_bytes
from jobs.recipe import Source
from jobs.sources.read import read_pictures
from jobs.sources.shards import Shard
from jobs.units import Unit

UNIT_BYTES = 256 << 20
"""Picture bytes of one unit of work, which a worker that writes a tar holds in memory."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Part:
    """The kept rows of one unit and the shard that has their pictures."""

    shard: Shard
    rows: tuple[Row, ...]


def plan_units(rows: list[Row], shards: list[Shard], unit_bytes: int = UNIT_BYTES) -> list[Unit[Part]]:
    """Cut kept rows into units: one per shard, more where the pictures exceed `unit_bytes`.

    Args:
        rows: kept rows with `shard`, `source` and `bytes`.
        shards: of the drop.
        unit_bytes: a unit holds no more picture bytes than this, unless one picture alone does.
    """
    by_name = {shard.name: shard for shard in shards}
    ordered = sorted(rows, key=lambda row: (row["shard"], row["source"]))
    units = []
    for name, group in groupby(ordered, key=lambda row: str(row["shard"])):
        for number, part in enumerate(_cut(list(group), unit_bytes)):
            unit_name = f"{name}-{number:03d}" if number else name
            units.append(Unit(unit_name, Part(by_name[name], tuple(part)), len(part)))
    return units


def read_originals(part: Part, source: Source) -> Iterator[tuple[Row, bytes]]:
    """The rows of a part, each with its picture's bytes, in the order of the shard; one at a time.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    rows = {row["source"]: row for row in part.rows}
    largest = max(row["bytes"] for row in part.rows)
    for record in read_pictures(source, part.shard, largest, frozenset(rows)):
        row = rows.pop(record.source)
        if record.image is None or hashlib.sha256(record.image).hexdigest() != row["sha256"]:
            raise _changed(record.source)
        yield row, record.image
    if rows:
        raise _changed(min(rows))


def write_unit(unit: Unit[Part], output: Output, source: Source) -> Receipt:
    """Publish the tar of one unit.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    documents = (_document(row, image) for row, image in read_originals(unit.payload, source))
    entry = output.publish(f"data/{unit.name}.tar", tar_bytes(documents), unit.size)
    return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))


def _cut(rows: list[Row], unit_bytes: int) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and size + row["bytes"] > unit_bytes:
            yield part
            part, size = [], 0
        part.append(row)
        size += row["bytes"]
    yield part


def _document(row: Row, image: bytes) -> tuple[Document, Media]:
    member = f"{format_id(row['sample_id'])}.0.{row['format']}"
    picture = ImageSegment(member=member, width=row["width"], height=row["height"], sha256=row["sha256"])
    truth = json.loads(row["truth"]) if row["truth"] else None
    document = Document(
        sample_id=row["sample_id"],
        family=FAMILY,
        segments=(TextSegment(text=row["text"]), picture),
        metadata={"source": row["source"], "topic": row["topic"], "truth": truth},
    )
    return document, {member: image}


def _changed(place: str) -> UserError:
    return UserError("this picture changed after it was scored", place, "Run again: it will be listed anew")
