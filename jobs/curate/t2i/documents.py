"""From kept rows of a catalogue back to the source's bytes, and into one tar per unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, TextSegment, format_id
from infra.manifest import Output, Receipt
from jobs.curate.parts import Part, Row, match
from jobs.curate.t2i.records import FAMILY
from jobs.curated import Media, tar_bytes
from jobs.recipe import Source
from jobs.sources import Record
from jobs.sources.read import read_pictures
from jobs.units import Unit


def read_originals(part: Part, source: Source) -> Iterator[tuple[Row, bytes]]:
    """The rows of a part, each with its picture's bytes, in the order of the shard; one at a time.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    largest = max(row["bytes"] for row in part.rows)
    records = read_pictures(source, part.shard, largest, part.sources)
    for row, record in match(part, records, _same, "picture"):
        assert record.image is not None
        yield row, record.image


def _same(row: Row, record: Record) -> bool:
    return record.image is not None and hashlib.sha256(record.image).hexdigest() == row["sha256"]


def write_unit(unit: Unit[Part], output: Output, source: Source) -> Receipt:
    """Publish the tar of one unit.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    documents = (_document(row, image) for row, image in read_originals(unit.payload, source))
    entry = output.publish(f"data/{unit.name}.tar", tar_bytes(documents), unit.size)
    return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))


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
