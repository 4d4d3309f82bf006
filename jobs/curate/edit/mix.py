"""edit/mixed: the edits of all drops, public and made, in the target's proportions of tasks.

The catalogue has one row per edit that the inputs kept. Documents are copied from the inputs' tars as they
are; a unit of work reads some tars and writes one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from infra.catalogue import BASE_FIELDS, Counts
from infra.document import Document
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt, read_manifest
from infra.reporter import Reporter
from jobs.curate.duplicates import exact_duplicates
from jobs.curate.edit.pictures import show_mixed
from jobs.curate.edit.quotas import Quota, choose, plan_quotas
from jobs.curate.stage import CATALOGUE, commit, count_rows, kept_rows, read_catalogue, reject
from jobs.curated import Media, iter_unit, tar_bytes
from jobs.specs.edit import EditMixSettings
from jobs.units import Unit, run_units

UNIT_BYTES = 256 << 20
"""Of the tars that one unit reads, and so of the one it writes, unless a single one is larger."""

_SCHEMA = pa.schema(
    [
        *BASE_FIELDS,
        ("task", pa.string()),
        ("subset", pa.string()),
        ("made_by", pa.string()),
        ("folder", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Copy:
    """Some tars of an input folder, and the samples that are taken from it."""

    folder: str
    paths: tuple[str, ...]
    samples: frozenset[int]


def run(spec: JobSpec[EditMixSettings], report: Reporter) -> Manifest:
    """Choose edits by the target of tasks and publish them."""
    folders = [(key, folder) for key, places in sorted(spec.inputs.items()) for folder in places]
    catalogue = _reject_repeated(_read(folders))
    quotas = _quotas(kept_rows(catalogue), spec.settings)
    catalogue = _reject_beyond(catalogue, quotas, spec.seed)
    output = Output(spec.output)
    units = _plan(folders, kept_rows(catalogue))
    work = partial(copy_unit, output=output)
    receipts = run_units(output, units, work, report, spec.resources, noun="edits read")
    copied = [file for receipt in receipts for file in receipt.files]
    show_mixed(output, report, quotas, [file.path for file in copied])
    files = [output.publish_table(CATALOGUE, catalogue.drop_columns(["folder"])), *copied]
    return commit(spec, files, count_rows(catalogue), _figures(kept_rows(catalogue), quotas))


def copy_unit(unit: Unit[Copy], output: Output) -> Receipt:
    """Publish one tar of the chosen documents of some tars; none where nothing in them was chosen."""
    documents = list(_chosen(unit.payload))
    number = len(documents)
    files: tuple[FileEntry, ...] = ()
    if documents:
        files = (output.publish(f"data/{unit.name}.tar", tar_bytes(documents), number),)
    return Receipt(unit=unit.name, files=files, counts=Counts(total=number, kept=number))


def _chosen(copy: Copy) -> Iterator[tuple[Document, Media]]:
    for path in copy.paths:
        for document, media in iter_unit(copy.folder, path):
            if document.sample_id in copy.samples:
                yield document, media


def _read(folders: list[tuple[str, str]]) -> pa.Table:
    """The edits that each input kept, by source; `folder` is the number of the input's folder."""
    tables = [_SCHEMA.empty_table()]
    for number, (key, folder) in enumerate(folders):
        rows = kept_rows(read_catalogue(folder))
        columns = {name: rows[name] for name in ("sample_id", "source", "status", "reason", "detail", "task")}
        subset = rows["subset"] if "subset" in rows.column_names else [key] * len(rows)
        added = {"subset": subset, "made_by": [key] * len(rows), "folder": [number] * len(rows)}
        tables.append(pa.table(columns | added).cast(_SCHEMA))
    return pa.concat_tables(tables).sort_by([("folder", "ascending"), ("source", "ascending")])


def _reject_repeated(catalogue: pa.Table) -> pa.Table:
    """An edit that two inputs have stays in the first."""
    sources = catalogue["source"].to_pylist()
    firsts = exact_duplicates([str(value) for value in catalogue["sample_id"].to_pylist()])
    reasons = [None if first is None else "exact_duplicate" for first in firsts]
    return reject(
        catalogue, list(reasons), [None if first is None else f"of {sources[first]}" for first in firsts]
    )


def _quotas(kept: pa.Table, settings: EditMixSettings) -> dict[str, Quota]:
    return plan_quotas(Counter(kept["task"].to_pylist()), settings.target, settings.met)


def _reject_beyond(catalogue: pa.Table, quotas: Mapping[str, Quota], seed: int) -> pa.Table:
    """What goes over its task's quota."""
    ids, tasks = catalogue["sample_id"].to_pylist(), catalogue["task"].to_pylist()
    reasons, details = catalogue["reason"].to_pylist(), catalogue["detail"].to_pylist()
    rows = [row for row, reason in enumerate(reasons) if reason is None]
    chosen = choose([ids[row] for row in rows], [tasks[row] for row in rows], quotas, seed)
    for row, keep in zip(rows, chosen, strict=True):
        if not keep:
            quota = quotas[tasks[row]]
            reasons[row] = "over_quota"
            details[row] = f"{tasks[row]}: {quota.available}, the quota is {quota.quota}"
    return reject(catalogue, reasons, details).sort_by("source")


def _plan(folders: list[tuple[str, str]], kept: pa.Table) -> list[Unit[Copy]]:
    """Units of work over the inputs' tars, in order."""
    samples: dict[int, list[int]] = {}
    for number, sample in zip(kept["folder"].to_pylist(), kept["sample_id"].to_pylist(), strict=True):
        samples.setdefault(number, []).append(sample)
    copies = [
        (Copy(folder, tuple(file.path for file in part), frozenset(samples[number])), part)
        for number, (_, folder) in enumerate(folders)
        if number in samples
        for part in _cut(folder)
    ]
    sizes = [max(1, sum(file.rows for file in part)) for _, part in copies]
    return [
        Unit(f"{n:06d}", copy, size) for n, ((copy, _), size) in enumerate(zip(copies, sizes, strict=True))
    ]


def _cut(folder: str) -> Iterator[list[FileEntry]]:
    """The tars of a folder, in groups of at most UNIT_BYTES."""
    part: list[FileEntry] = []
    for file in read_manifest(folder).files:
        if not file.path.endswith(".tar"):
            continue
        if part and sum(one.bytes for one in part) + file.bytes > UNIT_BYTES:
            yield part
            part = []
        part.append(file)
    if part:
        yield part


def _figures(kept: pa.Table, quotas: Mapping[str, Quota]) -> dict[str, Any]:
    """The quotas, what they came to, and which tasks have too few."""
    total = len(kept)
    return {
        "tasks": {
            task: {
                "available": quota.available,
                "quota": quota.quota,
                "kept": quota.kept,
                "share": round(quota.kept / total, 4) if total else 0.0,
                "target": round(quota.target, 4),
            }
            for task, quota in quotas.items()
        },
        "short_of_target": [task for task, quota in quotas.items() if quota.is_short],
        "made_by": dict(sorted(Counter(kept["made_by"].to_pylist()).items())),
    }
