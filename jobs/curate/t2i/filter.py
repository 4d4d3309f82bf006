"""t2i/filtered: every record scored, the bad and the doubled ones rejected, each with a reason.

Shards are scored by Ray workers into `data/<shard>.scores.parquet`, without thresholds. Decisions are
then taken in one place from the stored scores, so they see the whole drop and stay a pure function.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pyarrow as pa

from infra import storage
from infra.catalogue import BASE_FIELDS
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.curate.figures import filtered_figures
from jobs.curate.pictures import show_filtered
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input
from jobs.curate.t2i.decisions import decide
from jobs.curate.t2i.records import SCORES_SCHEMA, score_shard
from jobs.sources.shards import Shard, publish_shards, read_shards
from jobs.specs.t2i import FilterSettings
from jobs.units import Unit, run_units

_NOT_IN_CATALOGUE = ("colours", "thumbnail")


def run(spec: JobSpec[FilterSettings], report: Reporter) -> Manifest:
    """Score the drop's shards, decide, publish the catalogue and contact sheets."""
    output = Output(spec.output)
    shards = read_shards(only_input(spec, "raw/t2i"))
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    noun = "pictures" if all(shard.records for shard in shards) else "shards"
    work = partial(score_shard, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun=noun)
    paths = [file.path for receipt in receipts for file in receipt.files]
    scores = _read_scores(spec.output, paths)
    catalogue = _in_order(decide(scores, spec.settings.filters, spec.settings.duplicates))
    show_filtered(output, report, catalogue, paths)
    files = [output.publish_table(CATALOGUE, catalogue), publish_shards(output, _without_versions(shards))]
    files += [file for receipt in receipts for file in receipt.files]
    return commit(spec, files, count_rows(catalogue), filtered_figures(catalogue))


def _read_scores(folder: str, paths: list[str]) -> pa.Table:
    """The scores of all shards by source, without thumbnails, which would not fit for a large drop."""
    columns = [name for name in SCORES_SCHEMA.names if name != "thumbnail"]
    tables = [read_table(storage.join(folder, path), columns) for path in paths]
    return pa.concat_tables(tables).sort_by("source")


def _without_versions(shards: list[Shard]) -> list[Shard]:
    """Shards for the stages that follow: files written anew with the same content change nothing there."""
    return [
        replace(shard, files=tuple(replace(file, version="") for file in shard.files)) for shard in shards
    ]


def _in_order(table: pa.Table) -> pa.Table:
    """The columns every catalogue begins with, then the scores."""
    base = [field.name for field in BASE_FIELDS]
    rest = [name for name in table.column_names if name not in (*base, *_NOT_IN_CATALOGUE)]
    return table.select([*base, *rest])
