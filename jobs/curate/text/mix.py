"""text/mixed: all drops brought together by the recipe's weights, and the curated documents written.

Each unit reads a shard of the source once more and publishes the chosen texts in tars of bounded size. The
catalogue has one row per input record of all drops, also those that earlier stages rejected.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby
from typing import Any

import pyarrow as pa

from infra.catalogue import Counts
from infra.document import Document, TextSegment
from infra.errors import UserError
from infra.job import JobSpec
from infra.manifest import FileEntry, Manifest, Output, Receipt, read_manifest
from infra.reporter import Reporter
from jobs.curate.parts import UNIT_BYTES, Part, Row, match
from jobs.curate.stage import (
    CATALOGUE,
    commit,
    count_rows,
    kept_rows,
    merge,
    read_catalogue,
    reject,
    rejected_before,
    set_column,
    with_stage,
)
from jobs.curate.text.pictures import show_mixed
from jobs.curate.text.quota import choose, quotas
from jobs.curate.text.score import FAMILY, sum_of
from jobs.curated import Media, tar_bytes
from jobs.sources import TextRecord
from jobs.sources.read import read_texts
from jobs.sources.shards import read_shards
from jobs.specs.text import TextMixSettings
from jobs.units import Unit, run_units


def run(spec: JobSpec[TextMixSettings], report: Reporter) -> Manifest:
    """Choose texts of every subset and publish them.

    Raises:
        UserError: a weight is of a subset that is not there.
    """
    output = Output(spec.output)
    folders = spec.inputs["text/filtered"]
    catalogue = merge([_kept(folder) for folder in folders])
    _check(spec.settings.weights, {_part(subset) for subset in catalogue["subset"].to_pylist()})
    catalogue = _repeated(_choose(catalogue, spec.settings.weights, spec.seed))
    units = _plan(kept_rows(catalogue).to_pylist(), folders)
    work = partial(write_unit, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun="texts")
    earlier = [rejected_before(folder) for folder in folders]
    whole = merge([with_stage(catalogue.drop_columns(["drop"]), spec.asset), *earlier])
    files = [output.publish_table(CATALOGUE, whole), *(f for r in receipts for f in r.files)]
    figures = _figures(catalogue, spec.settings.weights)
    show_mixed(output, report, whole, figures["subsets"])
    return commit(spec, files, count_rows(catalogue), figures)


def _check(weights: Mapping[str, float], subsets: set[str]) -> None:
    """Refuse a weight of a subset without texts: misspelt, it would decide that nothing is taken."""
    if missing := sorted(weights.keys() - subsets):
        names = ", ".join(repr(subset) for subset in sorted(subsets)) or "none"
        what = f"there are no texts of the subset {missing[0]!r}"
        raise UserError(
            what, "recipe, curation.text.weights", f"Correct the name; subsets with texts: {names}"
        )


def write_unit(unit: Unit[Part], output: Output, settings: TextMixSettings) -> Receipt:
    """Publish the tars of one shard's chosen texts.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    entries: list[FileEntry] = []
    held: list[tuple[Document, Media]] = []
    size = 0
    for document, length in _documents(unit.payload, settings):
        if held and size + length > UNIT_BYTES:
            entries.append(_publish(output, unit.name, len(entries), held))
            held, size = [], 0
        held.append((document, {}))
        size += length
    entries.append(_publish(output, unit.name, len(entries), held))
    return Receipt(unit=unit.name, files=tuple(entries), counts=Counts(total=unit.size, kept=unit.size))


def _publish(output: Output, name: str, number: int, held: list[tuple[Document, Media]]) -> FileEntry:
    return output.publish(f"data/{name}-{number:03d}.tar", tar_bytes(held), len(held))


def _documents(part: Part, settings: TextMixSettings) -> Iterator[tuple[Document, int]]:
    """The chosen texts of a shard, each with its length in bytes."""
    records = read_texts(settings.source, part.shard, settings.max_bytes, part.sources)
    for row, record in match(part, records, _same, "text"):
        assert record.text is not None
        document = Document(
            sample_id=row["sample_id"],
            family=FAMILY,
            segments=(TextSegment(text=record.text),),
            metadata={"source": row["source"], "subset": row["subset"]},
        )
        yield document, len(record.text.encode())


def _same(row: Row, record: TextRecord) -> bool:
    return record.text is not None and hashlib.sha256(record.text.encode()).hexdigest() == row["sha256"]


def _kept(folder: str) -> pa.Table:
    """The rows that a drop hands on, with the column `drop`."""
    kept = kept_rows(read_catalogue(folder))
    return set_column(kept, "drop", [str(read_manifest(folder).partition)] * len(kept), pa.string())


def _choose(catalogue: pa.Table, weights: Mapping[str, float], seed: int) -> pa.Table:
    """Reject what goes over the quota of its subset."""
    characters = catalogue["characters"].to_pylist()
    subsets = [_part(subset) for subset in catalogue["subset"].to_pylist()]
    limits = quotas(_characters(subsets, characters), weights)
    chosen = choose(catalogue["sample_id"].to_pylist(), subsets, characters, limits, seed)
    reasons = [None if keep else "over_quota" for keep in chosen]
    details = [
        None if keep else f"{subset or 'texts'}: the quota is {limits.get(subset, 0)} characters"
        for keep, subset in zip(chosen, subsets, strict=True)
    ]
    return reject(catalogue, list(reasons), list(details))


def _repeated(catalogue: pa.Table) -> pa.Table:
    """Reject a text that another drop has, too: duplicates were looked for within drops."""
    ids, known = catalogue["sample_id"].to_pylist(), catalogue["reason"].to_pylist()
    details = catalogue["detail"].to_pylist()
    seen: set[int] = set()
    for number, (id_, reason) in enumerate(zip(ids, known, strict=True)):
        if reason is None and id_ in seen:
            known[number], details[number] = "exact_duplicate", "of a text of another drop"
        elif reason is None:
            seen.add(id_)
    return reject(catalogue, known, details)


def _plan(rows: list[Row], folders: list[str]) -> list[Unit[Part]]:
    """One unit for each shard that has chosen rows."""
    shards = {
        (str(read_manifest(folder).partition), shard.name): shard
        for folder in folders
        for shard in read_shards(folder)
    }
    ordered = sorted(rows, key=lambda row: (row["drop"], row["shard"], row["source"]))
    units = []
    for place, group in groupby(ordered, key=lambda row: (str(row["drop"]), str(row["shard"]))):
        part = Part(shards[place], tuple(group))
        units.append(Unit("-".join(place), part, len(part.rows)))
    return units


def _figures(catalogue: pa.Table, weights: Mapping[str, float]) -> dict[str, Any]:
    """Characters there were, were to be taken and were taken, by subset."""
    kept = kept_rows(catalogue)
    available, taken = (
        _characters([_part(s) for s in table["subset"].to_pylist()], table["characters"].to_pylist())
        for table in (catalogue, kept)
    )
    limits = quotas(available, weights)
    return {
        "texts": len(kept),
        "characters": sum_of(kept, "characters"),
        "subsets": {
            subset or "texts": {"available": n, "quota": limits[subset], "taken": taken[subset]}
            for subset, n in sorted(available.items())
        },
    }


def _characters(subsets: list[str], characters: list[int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for subset, number in zip(subsets, characters, strict=True):
        found[subset] += number
    return found


def _part(subset: str) -> str:
    """The part of a mix that a subset lies in."""
    return subset.split("/")[0]
