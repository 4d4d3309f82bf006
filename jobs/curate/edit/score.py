"""edit/scored: every pair decoded and measured, shard by shard, into `data/<shard>.scores.parquet`.

Thresholds come later, in edit/size_matched, so that changing one decodes no picture again.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.curate.edit.figures import scored_figures
from jobs.curate.edit.records import SCORES_SCHEMA, THUMBNAILS, score_shard
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input, reject
from jobs.sources.shards import publish_shards, read_shards, without_versions
from jobs.specs.edit import EditScoreSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[EditScoreSettings], report: Reporter) -> Manifest:
    """Score the drop's shards and publish the catalogue; what cannot be read or decoded is rejected."""
    output = Output(spec.output)
    shards = read_shards(only_input(spec, "raw/edit"))
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    work = partial(score_shard, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun="edits")
    scores = [file for receipt in receipts for file in receipt.files]
    catalogue = _catalogue(spec.output, [file.path for file in scores])
    files = [output.publish_table(CATALOGUE, catalogue), publish_shards(output, without_versions(shards))]
    return commit(spec, [*files, *scores], count_rows(catalogue), scored_figures(catalogue))


def _catalogue(folder: str, paths: list[str]) -> pa.Table:
    """The scores of all shards by source, without thumbnails, which would not fit for a large drop."""
    columns = [name for name in SCORES_SCHEMA.names if name not in THUMBNAILS]
    tables = [read_table(storage.join(folder, path), columns) for path in paths]
    table = pa.concat_tables(tables).sort_by("source")
    table = reject(table, table["reason"].to_pylist(), table["detail"].to_pylist())
    base = [field.name for field in BASE_FIELDS]
    return table.select([*base, *(name for name in table.column_names if name not in base)])
