"""t2i/captioned: clean captions, the source's own or a model's, and the curated documents written.

Each unit re-reads the original bytes of its kept pictures from the source and publishes one tar. The
catalogue has one row per input record of the drop, also those that earlier stages rejected.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output
from infra.reporter import Reporter
from jobs.curate.captions import Verdict, judge_caption
from jobs.curate.figures import captioned_figures
from jobs.curate.parts import Part, plan_units
from jobs.curate.pictures import show_captioned
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
from jobs.curate.t2i.documents import write_unit
from jobs.sources.shards import Shard, read_shards
from jobs.specs.t2i import CaptionSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[CaptionSettings], report: Reporter) -> Manifest:
    """Caption the pictures of the drop and publish its documents."""
    output = Output(spec.output)
    folder = only_input(spec, "t2i/balanced")
    shards = read_shards(folder)
    own, files, figures = _caption(spec, kept_rows(read_catalogue(folder)), shards, report)
    units = plan_units(kept_rows(own).to_pylist(), shards)
    work = partial(write_unit, output=output, source=spec.settings.source)
    receipts = run_units(output, units, work, report, spec.resources, noun="pictures")
    own = _add_units(own, units)
    catalogue = merge([with_stage(own, spec.asset), rejected_before(folder)])
    tars = [file for receipt in receipts for file in receipt.files]
    show_captioned(output, report, catalogue, [tar.path for tar in tars])
    files = [output.publish_table(CATALOGUE, catalogue), *files, *tars]
    return commit(spec, files, count_rows(own), captioned_figures(kept_rows(own), len(units)) | figures)


def _caption(
    spec: JobSpec[CaptionSettings], catalogue: pa.Table, shards: list[Shard], report: Reporter
) -> tuple[pa.Table, list[FileEntry], dict[str, Any]]:
    """Add `text`, the caption, and reject rows without a usable one; also files and figures of asking."""
    files: list[FileEntry] = []
    figures: dict[str, Any] = {}
    rows = catalogue.to_pylist()
    if spec.settings.vlm is None:
        limits = spec.settings.captions
        verdicts = [judge_caption(row["caption"], row["caption_problem"], limits) for row in rows]
    else:
        from jobs.curate.t2i.describe import describe_drop  # loads clients that the source's words need not

        said, files, spent = describe_drop(spec, plan_units(rows, shards), report)
        verdicts, figures = [said[row["source"]] for row in rows], {"vlm": spent}
    return _apply(catalogue, verdicts), files, figures


def _apply(catalogue: pa.Table, verdicts: list[Verdict]) -> pa.Table:
    texts, reasons, details = ([verdict[part] for verdict in verdicts] for part in range(3))
    return reject(set_column(catalogue, "text", texts, pa.string()), reasons, details)


def _add_units(catalogue: pa.Table, units: list[Unit[Part]]) -> pa.Table:
    """Add `unit`: the tar that has the document."""
    names = {row["source"]: unit.name for unit in units for row in unit.payload.rows}
    values = [names.get(source) for source in catalogue["source"].to_pylist()]
    return set_column(catalogue, "unit", values, pa.string())
