"""understanding/dialogues: thresholds and duplicates, then the documents of a source's dialogues.

A user's turns and the pictures are read, the assistant's turns are learnt.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pyarrow as pa

from infra.catalogue import Counts
from infra.document import Document, ImageSegment, Segment, TextSegment, format_id
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt
from infra.reporter import Reporter
from jobs.curate.parts import Part, Row, match, plan_units
from jobs.curate.stage import (
    CATALOGUE,
    commit,
    count_rows,
    kept_rows,
    merge,
    only_input,
    read_catalogue,
    reject,
    rejected_before,
    with_stage,
)
from jobs.curate.understanding import FAMILY
from jobs.curate.understanding.check import IMAGE_MARK, record_id
from jobs.curate.understanding.pictures import show_dialogues
from jobs.curated import Media, tar_bytes
from jobs.recipe.curation.understanding import Dialogues
from jobs.sources import DialogueRecord
from jobs.sources.read import read_dialogues
from jobs.sources.shards import read_shards
from jobs.specs.understanding import DialoguesSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[DialoguesSettings], report: Reporter) -> Manifest:
    """Decide about every dialogue of the drop and publish those that stay."""
    output = Output(spec.output)
    folder = only_input(spec, "understanding/checked")
    own = decide(kept_rows(read_catalogue(folder)), spec.settings.dialogues)
    units = plan_units(kept_rows(own).to_pylist(), read_shards(folder))
    work = partial(write_unit, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun="dialogues")
    catalogue = merge([with_stage(own, spec.asset), rejected_before(folder)])
    tars = [file for receipt in receipts for file in receipt.files]
    show_dialogues(output, report, catalogue, [file.path for file in tars])
    files: list[FileEntry] = [output.publish_table(CATALOGUE, catalogue), *tars]
    return commit(spec, files, count_rows(own), {"units": len(units)})


def decide(rows: pa.Table, limits: Dialogues) -> pa.Table:
    """Set status, reason and detail; rows are sorted by source, and the first of equal dialogues stays."""
    seen: set[int] = set()
    reasons: list[str | None] = []
    details: list[str | None] = []
    for row in rows.to_pylist():
        reason, detail = _reason(row, limits)
        if reason is None and row["sample_id"] in seen:
            reason, detail = "exact_duplicate", None
        if reason is None:
            seen.add(row["sample_id"])
        reasons.append(reason)
        details.append(detail)
    return reject(rows, reasons, details)


def write_unit(unit: Unit[Part], output: Output, settings: DialoguesSettings) -> Receipt:
    """Publish the tar of one unit.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    data = tar_bytes(_documents(unit.payload, settings))
    entry = output.publish(f"data/{unit.name}.tar", data, unit.size)
    return Receipt(unit=unit.name, files=(entry,), counts=Counts(total=unit.size, kept=unit.size))


def _reason(row: Row, limits: Dialogues) -> tuple[str | None, str | None]:
    side = min((min(p["width"], p["height"]) for p in row["pictures"] or ()), default=limits.min_side)
    if side < limits.min_side:
        return "small", f"{side} pixels, the limit is {limits.min_side}"
    if row["characters"] > limits.max_characters:
        return "long", f"{row['characters']} characters, the limit is {limits.max_characters}"
    return None, None


def _documents(part: Part, settings: DialoguesSettings) -> Iterator[tuple[Document, Media]]:
    records = read_dialogues(settings.source, part.shard, settings.dialogues.max_bytes, part.sources)
    same = match(part, records, lambda row, record: record_id(record) == row["sample_id"], "dialogue")
    return (_document(record, row) for row, record in same)


def _document(record: DialogueRecord, row: Row) -> tuple[Document, Media]:
    id_ = row["sample_id"]
    known = row["pictures"]
    pictures = [
        ImageSegment(
            member=f"{format_id(id_)}.{number}.{picture['format']}",
            width=picture["width"],
            height=picture["height"],
            sha256=picture["sha256"],
            loss=False,
        )
        for number, picture in enumerate(known)
    ]
    media = {picture.member: image for picture, image in zip(pictures, record.images, strict=True)}
    document = Document(
        sample_id=id_,
        family=FAMILY,
        segments=tuple(_segments(record, pictures)),
        metadata={"source": record.source, "subset": row["subset"], "task": "dialogue"},
    )
    return document, media


def _segments(record: DialogueRecord, pictures: list[ImageSegment]) -> Iterator[Segment]:
    """Text and pictures in turn; pictures without a mark come first."""
    left = iter(pictures)
    if not any(IMAGE_MARK in turn.text for turn in record.turns):
        yield from left
    for turn in record.turns:
        for number, piece in enumerate(turn.text.split(IMAGE_MARK)):
            if number:
                yield next(left)
            if text := piece.strip():
                yield TextSegment(text=text, loss=turn.role == "assistant")
