"""What every curation stage reads and publishes: its catalogue, and the rows decided before it.

`data/catalogue.parquet` has one row per input record of the stage, sorted by source.
`data/earlier.parquet` carries on the rows that stages before rejected, with a column `stage`, so that
the last stage accounts for every record of the drop without looking behind its inputs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from infra import storage
from infra.catalogue import Counts, count
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, read_manifest, read_table
from jobs.sources.shards import publish_shards, read_shards

CATALOGUE = "data/catalogue.parquet"
EARLIER = "data/earlier.parquet"

ERRORED = frozenset({"vlm_unreachable"})
"""Reasons that say nothing of the record: trying later may help."""


def read_catalogue(folder: str) -> pa.Table:
    """The catalogue of a finished curation stage."""
    return read_table(storage.join(folder, CATALOGUE))


def kept_rows(catalogue: pa.Table) -> pa.Table:
    """The rows a stage hands on."""
    return catalogue.filter(pc.equal(catalogue["status"], "kept"))


def rejected_before(folder: str) -> pa.Table:
    """Rows that a finished stage and the stages before it rejected, each with its `stage`."""
    manifest = read_manifest(folder)
    catalogue = read_catalogue(folder)
    own = with_stage(catalogue.filter(pc.not_equal(catalogue["status"], "kept")), manifest.asset)
    if EARLIER not in manifest.paths(".parquet"):
        return own
    earlier = read_table(storage.join(folder, EARLIER))
    return merge([own, earlier])


def with_stage(table: pa.Table, asset: str) -> pa.Table:
    """Add the column `stage`: the last part of the asset's name."""
    name = asset.rsplit("/", 1)[-1]
    return table.append_column("stage", pa.array([name] * len(table), pa.string()))


def merge(tables: list[pa.Table]) -> pa.Table:
    """One table of several, sorted by source; columns that a table lacks are null there."""
    return pa.concat_tables(tables, promote_options="default").sort_by("source")


def set_column(table: pa.Table, name: str, values: list[Any], type_: pa.DataType) -> pa.Table:
    """Replace or append a column."""
    column = pa.array(values, type_)
    index = table.schema.get_field_index(name)
    if index < 0:
        return table.append_column(name, column)
    return table.set_column(index, name, column)


def reject(table: pa.Table, reasons: list[str | None], details: list[str | None]) -> pa.Table:
    """Set status, reason and detail of every row: kept where the reason is None, errored for ERRORED."""
    status = ["errored" if r in ERRORED else "rejected" if r else "kept" for r in reasons]
    table = set_column(table, "status", status, pa.string())
    table = set_column(table, "reason", list(reasons), pa.string())
    return set_column(table, "detail", list(details), pa.string())


def count_rows(catalogue: pa.Table) -> Counts:
    """What became of the rows of a catalogue."""
    outcomes = zip(catalogue["status"].to_pylist(), catalogue["reason"].to_pylist(), strict=True)
    return count(len(catalogue), outcomes)


def publish_stage(output: Output, catalogue: pa.Table, folder: str) -> list[FileEntry]:
    """Publish a stage's catalogue, and carry on what later stages need of its input `folder`."""
    return [
        output.publish_table(CATALOGUE, catalogue),
        output.publish_table(EARLIER, rejected_before(folder)),
        publish_shards(output, read_shards(folder)),
    ]


def publish_earlier(output: Output, folder: str) -> list[FileEntry]:
    """Carry on what the input of a first stage rejected: a listing decides nothing, fetching does."""
    if not storage.exists(storage.join(folder, CATALOGUE)):
        return []
    return [output.publish_table(EARLIER, rejected_before(folder))]


def commit(
    spec: JobSpec[Any], files: Iterable[FileEntry], counts: Counts, metadata: dict[str, Any]
) -> Manifest:
    """Publish a stage's manifest. Counts are those of the stage's own input records."""
    return Output(spec.output).commit(
        Manifest(
            asset=spec.asset,
            partition=spec.partition,
            fingerprint=spec.fingerprint,
            files=tuple(files),
            counts=counts,
            metadata=metadata,
        )
    )


def only_input(spec: JobSpec[Any], name: str) -> str:
    """The one output folder of an upstream stage that the job works on."""
    (folder,) = spec.inputs[name]
    return folder
