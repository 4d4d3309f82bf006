"""<family>/fetched: every record of a drop, and the pictures behind those that are URLs.

The catalogue is the ledger: a row per record with what its server said. The shards that are published
hold tars with the original bytes; of a mix, shards that are no lists of URLs are passed on as they are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pyarrow as pa

from infra import storage
from infra.document import Family
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from infra.storage import FileInfo
from jobs.curate.stage import CATALOGUE, commit, count_rows, only_input
from jobs.fetch.pictures import show_fetched
from jobs.fetch.shard import fetch_shard
from jobs.sources.shards import Shard, publish_shards, read_shards, without_versions
from jobs.specs.fetch import FetchSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[FetchSettings], report: Reporter) -> Manifest:
    """Fetch the drop's shards; publish pictures, ledger and the listing of what is there now."""
    output = Output(spec.output)
    family = cast(Family, spec.asset.partition("/")[0])
    shards = read_shards(only_input(spec, f"raw/{family}"))
    units = [Unit(shard.name, shard, max(1, shard.records)) for shard in shards]
    noun = "pictures" if all(shard.records for shard in shards) else "shards"
    work = partial(fetch_shard, output=output, source=spec.settings.source, family=family, cache=spec.cache)
    receipts = run_units(output, units, work, report, spec.resources, noun=noun)
    catalogue = _catalogue(spec.output, receipts)
    made = [_fetched(output, shard, receipt) for shard, receipt in zip(shards, receipts, strict=True)]
    show_fetched(output, report, catalogue, made)
    files = [output.publish_table(CATALOGUE, catalogue), publish_shards(output, without_versions(made))]
    files += [file for receipt in receipts for file in receipt.files]
    return commit(spec, files, count_rows(catalogue), _figures(catalogue))


def _catalogue(folder: str, receipts: list[Receipt]) -> pa.Table:
    paths = [file.path for receipt in receipts for file in receipt.files if file.path.endswith(".parquet")]
    tables = [read_table(storage.join(folder, path)) for path in paths]
    return pa.concat_tables(tables).sort_by("source")


def _fetched(output: Output, shard: Shard, receipt: Receipt) -> Shard:
    """What later stages read instead of a shard: its tars, or the shard itself where it lists no URLs."""
    tars = tuple(
        FileInfo(storage.join(output.uri, file.path), file.bytes, "")
        for file in receipt.files
        if file.path.endswith(".tar")
    )
    return replace(
        shard, files=tars or shard.files, start=0 if tars else shard.start, records=receipt.counts.kept
    )


def _figures(catalogue: pa.Table) -> dict[str, Any]:
    links = catalogue.filter(catalogue["url"].is_valid())
    statuses = Counter(links["http_status"].drop_null().to_pylist())
    return {
        "urls": len(links),
        "attempts": sum(links["attempts"].to_pylist()),
        "picture_bytes": sum(links["bytes"].drop_null().to_pylist()),
        "http_status": {str(status): statuses[status] for status in sorted(statuses)},
    }
