"""subject/scored: every picture measured as text-to-image curation does it, with the group it appeared in.

No threshold is asked here: what decodes and has a group stays.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from infra import storage
from infra.catalogue import count
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curate.stage import CATALOGUE, commit, count_rows, publish_earlier, reject
from jobs.curate.t2i.records import SCORES_SCHEMA, score_row
from jobs.curate.t2i.score import SUFFIX, in_order
from jobs.sources import Record
from jobs.sources.read import read_pictures
from jobs.sources.shards import Shard, publish_shards, read_shards, without_versions
from jobs.specs.subject import SubjectScoreSettings
from jobs.units import Unit, run_units

SCHEMA = SCORES_SCHEMA.append(pa.field("group", pa.string()))


def run(spec: JobSpec[SubjectScoreSettings], report: Reporter) -> Manifest:
    """Score the drop's shards and publish the catalogue. The only input is the listing of the pictures."""
    output = Output(spec.output)
    ((folder,),) = spec.inputs.values()
    shards = read_shards(folder)
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    noun = "pictures" if all(shard.records for shard in shards) else "shards"
    work = partial(score_shard, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun=noun)
    entries = [file for receipt in receipts for file in receipt.files]
    rows = _read(spec.output, [file.path for file in entries], without=("colours", "thumbnail"))
    catalogue = in_order(reject(rows, rows["reason"].to_pylist(), rows["detail"].to_pylist()))
    files = [output.publish_table(CATALOGUE, catalogue), publish_shards(output, without_versions(shards))]
    files += publish_earlier(output, folder)
    return commit(spec, [*files, *entries], count_rows(catalogue), {})


def score_shard(unit: Unit[Shard], output: Output, settings: SubjectScoreSettings) -> Receipt:
    """Score one shard and publish its table. Pictures are held one at a time."""
    rows = [
        score_picture(record, unit.name, settings)
        for record in read_pictures(settings.source, unit.payload, settings.max_bytes)
    ]
    entry = output.publish_table(f"data/{unit.name}{SUFFIX}", pa.Table.from_pylist(rows, schema=SCHEMA))
    outcomes = [("rejected" if row["reason"] else "kept", row["reason"]) for row in rows]
    return Receipt(unit=unit.name, files=(entry,), counts=count(len(rows), outcomes))


def score_picture(record: Record, shard: str, settings: SubjectScoreSettings) -> dict[str, Any]:
    """The row of SCHEMA of a record. Pictures of several groups have the same sample id in each of them."""
    row = score_row(record, shard, settings.max_bytes, settings.max_pixels) | {"group": record.group}
    if row["reason"] is None and not record.group:
        row |= {"reason": "no_group", "detail": "it appeared in no page, album or folder"}
    return row


def read_scores(folder: str) -> pa.Table:
    """The scores of a finished drop's usable pictures by source, without thumbnails."""
    scores = _read(folder, read_manifest(folder).paths(SUFFIX), without=("thumbnail",))
    return scores.filter(scores["reason"].is_null())


def _read(folder: str, paths: list[str], without: tuple[str, ...]) -> pa.Table:
    columns = [name for name in SCHEMA.names if name not in without]
    tables = [read_table(storage.join(folder, path), columns) for path in paths]
    return pa.concat_tables(tables).sort_by("source")
