"""text/scored: every text of a drop measured, shard by shard. Texts are held one at a time."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from functools import partial
from typing import Any, Final

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS, count
from infra.document import sample_id
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input, reject
from jobs.curate.text.measures import measure
from jobs.recipe.sources import Source
from jobs.sources import TextRecord
from jobs.sources.read import read_texts
from jobs.sources.shards import Shard, publish_shards, read_shards, without_versions
from jobs.specs.text import TextScoreSettings
from jobs.units import Unit, run_units

FAMILY: Final = "text"

SCORES_SCHEMA = pa.schema(
    [
        pa.field("sample_id", pa.uint64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("shard", pa.string()),
        ("subset", pa.string()),
        ("sha256", pa.string()),
        ("opening", pa.string()),  # for people who look through a catalogue
        ("characters", pa.int64()),
        ("words", pa.int64()),
        ("word_length", pa.float64()),
        ("symbols", pa.float64()),
        ("alphabetic", pa.float64()),
        ("stop_words", pa.int64()),
        ("bullet_lines", pa.float64()),
        ("ellipsis_lines", pa.float64()),
        ("repeated_lines", pa.float64()),
        ("top_phrase", pa.float64()),
        ("signature", pa.binary()),
    ]
)
"""One row per input record. `reason` here is what the source says, no threshold."""

OPENING_CHARACTERS = 120


def run(spec: JobSpec[TextScoreSettings], report: Reporter) -> Manifest:
    """Measure the texts of the drop's shards; only those that the source cannot give are rejected."""
    output = Output(spec.output)
    shards = read_shards(only_input(spec, "raw/text"))
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    noun = "texts" if all(shard.records for shard in shards) else "shards"
    work = partial(score_shard, output=output, source=spec.settings.source, max_bytes=spec.settings.max_bytes)
    receipts = run_units(output, units, work, report, spec.resources, noun=noun)
    files = [file for receipt in receipts for file in receipt.files]
    scores = pa.concat_tables([read_table(storage.join(spec.output, f.path)) for f in files])
    catalogue = _in_order(reject(scores, scores["reason"].to_pylist(), scores["detail"].to_pylist()))
    files += [output.publish_table(CATALOGUE, catalogue), publish_shards(output, without_versions(shards))]
    return commit(spec, files, count_rows(catalogue), {"characters": sum_of(catalogue, "characters")})


def score_shard(unit: Unit[Shard], output: Output, source: Source, max_bytes: int) -> Receipt:
    """Measure one shard and publish its table."""
    records = read_texts(source, unit.payload, max_bytes)
    rows = [score_row(record, unit.name, unit.payload.part) for record in records]
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)
    entry = output.publish_table(f"data/{unit.name}.scores.parquet", table)
    outcomes = [("rejected" if row["reason"] else "kept", row["reason"]) for row in rows]
    return Receipt(unit=unit.name, files=(entry,), counts=count(len(rows), outcomes))


def score_row(record: TextRecord, shard: str, part: str) -> dict[str, Any]:
    """The row of SCORES_SCHEMA of a record; one without a text has a reason and no measures."""
    subset = "/".join(filter(None, (part, record.subset)))
    row: dict[str, Any] = {"source": record.source, "reason": None, "shard": shard, "subset": subset}
    if record.text is None:
        reason = record.reason or "no_text"
        id_ = sample_id(FAMILY, [b"", record.source.encode()])
        return row | {"sample_id": id_, "reason": reason, "detail": record.detail}
    data = record.text.encode()
    known = {
        "sample_id": sample_id(FAMILY, [data]),
        "sha256": hashlib.sha256(data).hexdigest(),
        "opening": " ".join(record.text[: 2 * OPENING_CHARACTERS].split())[:OPENING_CHARACTERS],
    }
    return row | known | asdict(measure(record.text))


def sum_of(table: pa.Table, column: str) -> int:
    """The sum of a column of whole numbers; rows without a value count nothing."""
    return sum(value or 0 for value in table[column].to_pylist())


def _in_order(table: pa.Table) -> pa.Table:
    """The columns every catalogue begins with, then the scores, sorted by source."""
    base = [field.name for field in BASE_FIELDS]
    rest = [name for name in table.column_names if name not in base]
    return table.select([*base, *rest]).sort_by("source")
