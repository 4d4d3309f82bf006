"""edit/size_matched: pairs of one size that differ, with an instruction, each once."""

from __future__ import annotations

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.edit.decisions import decide
from jobs.curate.edit.pictures import show_matched
from jobs.curate.stage import commit, count_rows, kept_rows, only_input, publish_stage, read_catalogue
from jobs.specs.edit import EditMatchSettings


def run(spec: JobSpec[EditMatchSettings], report: Reporter) -> Manifest:
    """Decide from the stored scores; publish the catalogue and edit strips."""
    folder = only_input(spec, "edit/scored")
    catalogue = decide(kept_rows(read_catalogue(folder)), spec.settings.filters)
    output = Output(spec.output)
    show_matched(output, report, catalogue, folder)
    files = publish_stage(output, catalogue, folder)
    counts = count_rows(catalogue)
    report.progress(counts.total, counts.total, "edits")
    return commit(spec, files, counts, {})
