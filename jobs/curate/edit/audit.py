"""edit/audited: bad edits and bad subsets go; what stays is published as documents.

Each unit re-reads the original bytes of its kept edits from the source and publishes one tar. The
catalogue has one row per input record of the drop, also those that earlier stages rejected.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import pyarrow as pa

from infra import storage
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_table
from infra.reporter import Reporter
from jobs.curate.edit.bad import why_bad
from jobs.curate.edit.documents import write_unit
from jobs.curate.edit.pictures import show_audited
from jobs.curate.edit.subsets import DROPPED
from jobs.curate.parts import Part, plan_units
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
    set_column,
    with_stage,
)
from jobs.sources.shards import read_shards
from jobs.specs.edit import EditAuditSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[EditAuditSettings], report: Reporter) -> Manifest:
    """Reject the bad edits of the drop and publish the documents of the others."""
    output = Output(spec.output)
    folder = only_input(spec, "edit/judged")
    dropped = read_table(storage.join(only_input(spec, "edit/subsets"), DROPPED))["subset"].to_pylist()
    own = _audit(kept_rows(read_catalogue(folder)), spec.settings, frozenset(dropped))
    units = plan_units(kept_rows(own).to_pylist(), read_shards(folder))
    work = partial(write_unit, output=output, source=spec.settings.source)
    receipts = run_units(output, units, work, report, spec.resources, noun="edits")
    own = _add_units(own, units)
    catalogue = merge([with_stage(own, spec.asset), rejected_before(folder)])
    files = [output.publish_table(CATALOGUE, catalogue)]
    files += [file for receipt in receipts for file in receipt.files]
    show_audited(output, report, catalogue, own, only_input(spec, "edit/scored"))
    return commit(spec, files, count_rows(own), _figures(kept_rows(own), len(units)))


def _audit(judged: pa.Table, settings: EditAuditSettings, dropped: frozenset[str]) -> pa.Table:
    """Reject bad edits, then those of dropped subsets."""
    reasons: list[str | None] = []
    details: list[str | None] = []
    wrong = why_bad(judged, settings.min_score, settings.max_changed)
    for why, subset in zip(wrong, judged["subset"].to_pylist(), strict=True):
        by_subset = why is None and subset in dropped
        reasons.append("bad_edit" if why else "bad_subset" if by_subset else None)
        details.append(f"too many edits of {subset!r} are bad" if by_subset else why)
    return reject(judged, reasons, details)


def _add_units(catalogue: pa.Table, units: list[Unit[Part]]) -> pa.Table:
    """Add `unit`: the tar that has the document."""
    names = {row["source"]: unit.name for unit in units for row in unit.payload.rows}
    values = [names.get(source) for source in catalogue["source"].to_pylist()]
    return set_column(catalogue, "unit", values, pa.string())


def _figures(kept: pa.Table, units: int) -> dict[str, Any]:
    return {
        "units": units,
        "media_bytes": sum(kept["bytes"].to_pylist()),
        "tasks": dict(sorted(Counter(kept["task"].to_pylist()).items())),
    }
