"""edit/synthetic: edits made from the curated pictures of a drop, for tasks that public data lacks.

The paper builds such a set because public edits are mostly add, remove and replace (section 5.3.1). The
catalogue has one row per planned edit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa

from infra import storage
from infra.job import JobSpec
from infra.manifest import Manifest, Output, read_manifest, read_table
from infra.reporter import Reporter
from jobs.curate.edit.operations.unit import ROWS_SCHEMA, Tar, make_unit
from jobs.curate.edit.pictures import show_mixed
from jobs.curate.edit.quotas import Quota
from jobs.curate.stage import CATALOGUE, commit, count_rows, kept_rows, only_input
from jobs.recipe.curation.edit import TASKS
from jobs.specs.synthetic import SyntheticSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[SyntheticSettings], report: Reporter) -> Manifest:
    """Make edits of the drop's pictures, tar by tar."""
    output = Output(spec.output)
    folder = only_input(spec, "t2i/captioned")
    units = _units(folder)
    work = partial(make_unit, output=output, settings=spec.settings, seed=spec.seed)
    receipts = run_units(output, units, work, report, spec.resources, noun="pictures")
    made = [file for receipt in receipts for file in receipt.files]
    rows = [file.path for file in made if file.path.endswith(".parquet")]
    catalogue = _catalogue(spec.output, rows)
    target: dict[str, float] = {task: spec.settings.target.get(task, 0.0) for task in TASKS}
    tars = [file.path for file in made if file.path.endswith(".tar")]
    show_mixed(output, report, _quotas(catalogue, target), tars)
    files = [output.publish_table(CATALOGUE, catalogue), *made]
    return commit(spec, files, count_rows(catalogue), _figures(catalogue, target))


def _units(folder: str) -> list[Unit[Tar]]:
    """One for each tar of the captioned folder."""
    return [
        Unit(PurePosixPath(file.path).stem, Tar(folder, file.path), max(1, file.rows))
        for file in read_manifest(folder).files
        if file.path.endswith(".tar")
    ]


def _catalogue(folder: str, paths: list[str]) -> pa.Table:
    tables = [read_table(storage.join(folder, path)) for path in paths]
    return pa.concat_tables([ROWS_SCHEMA.empty_table(), *tables]).sort_by("source")


def _quotas(catalogue: pa.Table, target: Mapping[str, float]) -> dict[str, Quota]:
    """What was planned and kept of each task, for the charts."""
    planned = Counter(catalogue["task"].to_pylist())
    kept = Counter(kept_rows(catalogue)["task"].to_pylist())
    weights = {task: target[task] for task in TASKS if planned[task]}
    whole = sum(weights.values())
    return {task: Quota(weight / whole, planned[task], kept[task]) for task, weight in weights.items()}


def _figures(catalogue: pa.Table, target: Mapping[str, float]) -> dict[str, Any]:
    """How many edits were planned and kept, of each task and by each maker."""
    kept = kept_rows(catalogue)
    tasks = _counts(catalogue, kept, "task")
    whole, total = sum(target.values()), len(kept)
    for task, figures in tasks.items():
        figures["share"] = round(figures["kept"] / total, 4) if total else 0.0
        figures["target"] = round(target[task] / whole, 4)
    return {"tasks": tasks, "makers": _counts(catalogue, kept, "maker")}


def _counts(catalogue: pa.Table, kept: pa.Table, column: str) -> dict[str, dict[str, Any]]:
    planned, stayed = Counter(catalogue[column].to_pylist()), Counter(kept[column].to_pylist())
    return {name: {"planned": number, "kept": stayed[name]} for name, number in sorted(planned.items())}
