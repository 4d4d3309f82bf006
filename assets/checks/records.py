"""Checks of every stage that decides about records: nothing is lost, doubled or unexplained."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from assets.checks import Check, Published, Verdict, no_problems

CATALOGUE = "data/catalogue.parquet"


def catalogue(output: Published) -> pa.Table:
    """The stage's own rows of its catalogue; the last curation stage's holds those of earlier ones too."""
    table = output.table(CATALOGUE)
    if "stage" not in table.column_names:
        return table
    own = output.manifest.asset.rsplit("/", 1)[-1]
    return table.filter(pc.equal(table["stage"], own))


def kept(output: Published) -> pa.Table:
    """The rows that the stage hands on."""
    table = catalogue(output)
    return table.filter(pc.equal(table["status"], "kept"))


def _conservation(output: Published) -> Verdict:
    counts = output.manifest.counts
    rows = catalogue(output)
    statuses = Counter(rows["status"].to_pylist())
    rejected = rows.filter(pc.equal(rows["status"], "rejected"))
    reasons = Counter(rejected["reason"].to_pylist())
    sources = [key for key in output.inputs if key.startswith("raw/") or key in output.records_from]
    handed_on = sum(m.counts.kept for key in sources for m in output.input_manifests(key))
    problems = []
    if len(rows) != counts.total:
        problems.append(f"{counts.total} records went in, the catalogue has {len(rows)}")
    if statuses["kept"] != counts.kept or statuses["errored"] != counts.errored:
        problems.append(f"the catalogue says {dict(statuses)}, the manifest {counts.describe()}")
    if dict(reasons) != counts.rejected:
        problems.append(f"the catalogue's reasons are {dict(reasons)}, the manifest's {counts.rejected}")
    # A source that only counts its records when it reads them hands on 0 in its listing.
    if handed_on and handed_on != counts.total:
        problems.append(f"{handed_on} records were handed on, {counts.total} went in")
    return no_problems(problems, counts.describe(), rows=len(rows), handed_on=handed_on)


def _unique_sources(output: Published) -> Verdict:
    return _unique(output.table(CATALOGUE)["source"].to_pylist(), "source")


def _unique_ids(output: Published) -> Verdict:
    return _unique([f"{value:016x}" for value in kept(output)["sample_id"].to_pylist()], "sample id")


def _unique(values: list[str], noun: str) -> Verdict:
    doubled = [value for value, number in Counter(values).items() if number > 1]
    problems = [f"{noun} {value} stands for several records" for value in doubled]
    return no_problems(problems, f"{len(values)} records, each {noun} once", records=len(values))


CONSERVATION = Check("conservation", "In = kept + rejected (each with a reason) + errored.", _conservation)
UNIQUE_SOURCES = Check("unique_sources", "No input record is listed twice.", _unique_sources)
UNIQUE_IDS = Check("unique_ids", "No two kept records have the same sample id.", _unique_ids)
