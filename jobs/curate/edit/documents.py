"""From kept rows of a catalogue back to the source's bytes, and into one tar per unit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, Segment, TextSegment, format_id
from infra.manifest import Output, Receipt
from jobs.curate.edit.records import FAMILY
from jobs.curate.parts import Part, Row, match
from jobs.curated import Media, tar_bytes
from jobs.recipe.sources import Source
from jobs.sources import EditRecord
from jobs.sources.read import read_edits
from jobs.units import Unit


def read_again(part: Part, source: Source) -> Iterator[tuple[Row, EditRecord]]:
    """The rows of a unit with their pictures, in the source's order.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    largest = max(size for row in part.rows for size in row["picture_bytes"])
    return match(part, read_edits(source, part.shard, largest, part.sources), _same, "edit")


def _same(row: Row, record: EditRecord) -> bool:
    pictures = [*record.inputs, record.output or b""]
    found: list[str] = row["sha256"]
    return found == [hashlib.sha256(data).hexdigest() for data in pictures]


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
