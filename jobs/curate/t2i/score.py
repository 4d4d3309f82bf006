"""t2i/scored: every record of a drop decoded, measured and hashed, shard by shard, without a threshold.

`data/<shard>.scores.parquet` has the scores, the colours that duplicates are told by, and a thumbnail.
Rejected is only what the source cannot give or what cannot be decoded. All that judges comes later and
works on what is stored here, so a changed threshold scores nothing again.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curate.figures import scored_figures
from jobs.curate.pictures import show_scored
from jobs.curate.stage import CATALOGUE, commit, count_rows, publish_earlier, reject
from jobs.curate.t2i.records import SCORES_SCHEMA, score_shard
from jobs.sources.shards import publish_shards, read_shards, without_versions
from jobs.specs.t2i import ScoreSettings
from jobs.units import Unit, run_units

SUFFIX = ".scores.parquet"
_NOT_IN_CATALOGUE = ("colours", "thumbnail")


def run(spec: JobSpec[ScoreSettings], report: Reporter) -> Manifest:
    """Score the drop's shards and publish their catalogue. The only input is the listing of the pictures."""
    output = Output(spec.output)
    ((folder,),) = spec.inputs.values()
    shards = read_shards(folder)
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    noun = "pictures" if all(shard.records for shard in shards) else "shards"
    work = partial(score_shard, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun=noun)
    files = [file for receipt in receipts for file in receipt.files]
    columns = [name for name in SCORES_SCHEMA.names if name not in _NOT_IN_CATALOGUE]
    scores = _read(spec.output, [file.path for file in files], columns)
    catalogue = in_order(reject(scores, scores["reason"].to_pylist(), scores["detail"].to_pylist()))
    show_scored(output, report, catalogue)
    listed = publish_shards(output, without_versions(shards))
    files = [output.publish_table(CATALOGUE, catalogue), listed, *publish_earlier(output, folder), *files]
    return commit(spec, files, count_rows(catalogue), scored_figures(catalogue))


def read_scores(folder: str) -> pa.Table:
    """The scores of a finished drop's decodable pictures by source; their reasons are null.

    Thumbnails are left out: those of a large drop would not fit.
    """
    columns = [name for name in SCORES_SCHEMA.names if name != "thumbnail"]
    scores = _read(folder, read_manifest(folder).paths(SUFFIX), columns)
    return scores.filter(scores["reason"].is_null())


def in_order(table: pa.Table) -> pa.Table:
    """The columns every catalogue begins with, then the scores."""
    base = [field.name for field in BASE_FIELDS]
    rest = [name for name in table.column_names if name not in (*base, *_NOT_IN_CATALOGUE)]
    return table.select([*base, *rest])


def _read(folder: str, paths: list[str], columns: list[str]) -> pa.Table:
    tables = [read_table(storage.join(folder, path), columns) for path in paths]
    return pa.concat_tables(tables).sort_by("source")
