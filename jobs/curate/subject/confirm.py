"""subject/confirmed: do both pictures of a pair share a subject, and which; the curated documents.

The answer is a vision-language model's or the source's own. The unit of work is the pairs whose references
lie in one shard: asked, answered and written as one tar. The catalogue has one row per pair considered,
also those that `candidates` rejected.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa

from infra import storage
from infra.job import JobSpec
from infra.manifest import Manifest, Output, Receipt, read_table
from infra.reporter import Reporter
from jobs.curate.parts import UNIT_BYTES
from jobs.curate.stage import (
    CATALOGUE,
    commit,
    count_rows,
    kept_rows,
    merge,
    only_input,
    read_catalogue,
    rejected_before,
    with_stage,
)
from jobs.curate.subject.judge import SUFFIX, VERDICTS, ConfirmWorker
from jobs.curate.subject.pictures import Thumbnails, show_confirmed
from jobs.curate.subject.units import plan_units
from jobs.curate.t2i.score import in_order
from jobs.sources.shards import read_shards
from jobs.specs.subject import ConfirmSettings
from jobs.units import run_units
from jobs.vlm import merge_usage


def run(spec: JobSpec[ConfirmSettings], report: Reporter) -> Manifest:
    """Ask about every candidate of the drop and publish the confirmed pairs."""
    output = Output(spec.output)
    folder = only_input(spec, "subject/candidates")
    candidates = kept_rows(read_catalogue(folder))
    pictures = kept_rows(read_catalogue(only_input(spec, "subject/grouped")))
    units = plan_units(candidates.to_pylist(), pictures, read_shards(folder), UNIT_BYTES)
    arguments = (output, spec.settings, spec.cache)
    receipts = run_units(
        output, units, ConfirmWorker, report, spec.resources, arguments=arguments, noun="pairs"
    )
    own = _with_verdicts(spec.output, candidates, receipts)
    catalogue = merge([with_stage(own, spec.asset), rejected_before(folder)])
    files = [file for receipt in receipts for file in receipt.files]
    files.insert(0, output.publish_table(CATALOGUE, catalogue))
    show_confirmed(output, report, catalogue, Thumbnails(only_input(spec, "subject/scored"), pictures))
    asked = merge_usage(receipt.metadata for receipt in receipts)
    return commit(spec, files, count_rows(own), _figures(own) | {"vlm": asked})


def _with_verdicts(folder: str, candidates: pa.Table, receipts: list[Receipt]) -> pa.Table:
    """The candidates with what became of them instead of what was known before."""
    paths = [file.path for r in receipts for file in r.files if file.path.endswith(SUFFIX)]
    tables = [read_table(storage.join(folder, path)) for path in paths]
    verdicts = pa.concat_tables([VERDICTS.empty_table(), *tables])
    known = candidates.drop_columns(["status", "reason", "detail"])
    return in_order(known.join(verdicts, "source").sort_by("source"))


def _figures(own: pa.Table) -> dict[str, Any]:
    kept = kept_rows(own)
    return {
        "types": dict(sorted(Counter(kept["subject_type"].to_pylist()).items())),
        "subjects": len(set(kept["subject"].to_pylist())),
        "groups": len(set(kept["group"].to_pylist())),
    }
