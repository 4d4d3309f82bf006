"""t2i/captioned: the source's captions made clean, and the curated documents written.

Each unit re-reads the original bytes of its kept pictures from the source and publishes one tar. The
catalogue has one row per input record of the drop, also those that earlier stages rejected.
"""

from __future__ import annotations

from functools import partial

import pyarrow as pa

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.captions import judge_caption
from jobs.curate.figures import captioned_figures
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
from jobs.curate.t2i.documents import Part, plan_units, write_unit
from jobs.recipe import Captions
from jobs.sources.shards import read_shards
from jobs.specs.t2i import CaptionSettings
from jobs.units import Unit, run_units

UNIT_BYTES = 256 << 20
"""Picture bytes in one tar, which a worker holds in memory while it puts them in order."""


def run(spec: JobSpec[CaptionSettings], report: Reporter) -> Manifest:
    """Normalise the captions of the drop and publish its documents."""
    output = Output(spec.output)
    folder = only_input(spec, "t2i/balanced")
    own = _judge(kept_rows(read_catalogue(folder)), spec.settings.captions)
    units = plan_units(kept_rows(own).to_pylist(), read_shards(folder), UNIT_BYTES)
    work = partial(write_unit, output=output, source=spec.settings.source)
    receipts = run_units(output, units, work, report, spec.resources, noun="pictures")
    own = _add_units(own, units)
    catalogue = merge([with_stage(own, spec.asset), rejected_before(folder)])
    files = [output.publish_table(CATALOGUE, catalogue)]
    files += [file for receipt in receipts for file in receipt.files]
    figures = captioned_figures(kept_rows(own), len(units))
    show_captioned(output, report, catalogue, [file.path for file in files[1:]])
    return commit(spec, files, count_rows(own), figures)


def _judge(catalogue: pa.Table, settings: Captions) -> pa.Table:
    """Add `text`, the normalised caption, and reject rows without a usable one."""
    captions, problems = catalogue["caption"].to_pylist(), catalogue["caption_problem"].to_pylist()
    verdicts = [judge_caption(c, p, settings) for c, p in zip(captions, problems, strict=True)]
    catalogue = set_column(catalogue, "text", [text for text, _, _ in verdicts], pa.string())
    return reject(catalogue, [reason for _, reason, _ in verdicts], [detail for _, _, detail in verdicts])


def _add_units(catalogue: pa.Table, units: list[Unit[Part]]) -> pa.Table:
    """Add `unit`: the tar that has the document."""
    names = {row["source"]: unit.name for unit in units for row in unit.payload.rows}
    values = [names.get(source) for source in catalogue["source"].to_pylist()]
    return set_column(catalogue, "unit", values, pa.string())
