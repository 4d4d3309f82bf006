"""t2i/filtered: the bad and the doubled pictures rejected, each with a reason.

A pure function of the stored scores, taken in one place so that it sees the whole drop. Duplicates are
looked for within a drop: a drop is what a person re-runs, and needs no other one.
"""

from __future__ import annotations

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.figures import filtered_figures
from jobs.curate.pictures import show_filtered
from jobs.curate.stage import commit, count_rows, only_input, publish_stage
from jobs.curate.t2i.decisions import decide
from jobs.curate.t2i.score import in_order, read_scores
from jobs.specs.t2i import FilterSettings


def run(spec: JobSpec[FilterSettings], report: Reporter) -> Manifest:
    """Decide about the drop's pictures; publish the catalogue and contact sheets."""
    output = Output(spec.output)
    folder = only_input(spec, "t2i/scored")
    decided = decide(read_scores(folder), spec.settings.filters, spec.settings.duplicates)
    catalogue = in_order(decided)
    report.progress(len(catalogue), len(catalogue), "pictures")
    show_filtered(output, report, catalogue, folder)
    files = publish_stage(output, catalogue, folder)
    return commit(spec, files, count_rows(catalogue), filtered_figures(catalogue))
