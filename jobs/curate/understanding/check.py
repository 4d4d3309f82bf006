"""understanding/checked: the dialogues of a drop decoded and measured, shard by shard, without thresholds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS, count
from infra.document import sample_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input
from jobs.curate.understanding import FAMILY
from jobs.images import DecodeError, decode, picture_format
from jobs.sources import DialogueRecord, Turn
from jobs.sources.read import read_dialogues
from jobs.sources.shards import Shard, publish_shards, read_shards, without_versions
from jobs.specs.understanding import CheckDialoguesSettings
from jobs.units import Unit, run_units

IMAGE_MARK = "<image>"

_PICTURE = pa.struct(
    [("sha256", pa.string()), ("format", pa.string()), ("width", pa.int32()), ("height", pa.int32())]
)

SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("shard", pa.string()),
        ("subset", pa.string()),
        ("pictures", pa.list_(_PICTURE)),
        ("turns", pa.int32()),
        ("characters", pa.int64()),
        ("bytes", pa.int64()),
        ("opening", pa.string()),
    ]
)

_OPENING_CHARACTERS = 120


def run(spec: JobSpec[CheckDialoguesSettings], report: Reporter) -> Manifest:
    """Measure the dialogues of the drop's shards; only what cannot be read is rejected."""
    output = Output(spec.output)
    shards = read_shards(only_input(spec, "raw/understanding"))
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    work = partial(check_shard, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun="shards")
    files = [file for receipt in receipts for file in receipt.files]
    tables = [read_table(storage.join(spec.output, file.path)) for file in files]
    catalogue = pa.concat_tables(tables).sort_by("source")
    files += [output.publish_table(CATALOGUE, catalogue), publish_shards(output, without_versions(shards))]
    return commit(spec, files, count_rows(catalogue), {})


def check_shard(unit: Unit[Shard], output: Output, settings: CheckDialoguesSettings) -> Receipt:
    """Measure one shard and publish its table. Dialogues are held one at a time."""
    records = read_dialogues(settings.source, unit.payload, settings.max_bytes)
    rows = [_row(record, unit.name, unit.payload.part, settings.max_pixels) for record in records]
    entry = output.publish_table(f"data/{unit.name}.rows.parquet", pa.Table.from_pylist(rows, schema=SCHEMA))
    counts = count(len(rows), [(row["status"], row["reason"]) for row in rows])
    return Receipt(unit=unit.name, files=(entry,), counts=counts)


def _row(record: DialogueRecord, shard: str, part: str, max_pixels: int) -> dict[str, Any]:
    subset = "/".join(filter(None, (part, record.subset)))
    row: dict[str, Any] = {"source": record.source, "shard": shard, "subset": subset}
    row |= {"status": "kept", "reason": None}
    row["sample_id"] = record_id(record)
    reason, detail = record.reason, record.detail
    if reason is None:
        reason, detail = _problem(record.turns, len(record.images))
    if reason is None:
        try:
            row["pictures"] = [_picture(image, max_pixels) for image in record.images]
        except DecodeError as error:
            reason, detail = error.reason, error.detail
    if reason is not None:
        return row | {"status": "rejected", "reason": reason, "detail": detail}
    return row | {
        "turns": len(record.turns),
        "characters": sum(len(turn.text) for turn in record.turns),
        "bytes": sum(map(len, record.images)),
        "opening": record.turns[0].text.replace(IMAGE_MARK, "").strip()[:_OPENING_CHARACTERS],
    }


def record_id(record: DialogueRecord) -> int:
    """The sample id of a dialogue: of its turns and pictures, or of its place where it has none."""
    if not record.turns:
        return sample_id(FAMILY, [b"", record.source.encode()])
    turns = [f"{turn.role}: {turn.text}".encode("utf-8", "replace") for turn in record.turns]
    return sample_id(FAMILY, [*turns, *record.images])


def _problem(turns: Sequence[Turn], pictures: int) -> tuple[str | None, str | None]:
    """Why turns are no dialogue about so many pictures, or neither."""
    roles = [turn.role for turn in turns]
    marks = sum(turn.text.count(IMAGE_MARK) for turn in turns)
    if roles[0] != "user" or roles[-1] != "assistant" or any(a == b for a, b in pairwise(roles)):
        return "no_dialogue", "the turns do not alternate from a user's to an assistant's"
    if any(IMAGE_MARK in turn.text for turn in turns if turn.role == "assistant"):
        return "no_dialogue", "the assistant shows a picture"
    if marks not in (0, pictures):
        return "image_marks", f"{marks} marks for {pictures} pictures"
    if any(not turn.text.replace(IMAGE_MARK, "").strip() for turn in turns if turn.role == "assistant"):
        return "no_dialogue", "an empty answer"
    return None, None


def _picture(image: bytes, max_pixels: int) -> dict[str, Any]:
    picture = decode(image, max_pixels)
    return {
        "sha256": hashlib.sha256(image).hexdigest(),
        "format": picture_format(image),
        "width": picture.width,
        "height": picture.height,
    }
