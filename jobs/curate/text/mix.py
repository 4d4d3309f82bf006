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
from jobs.curate.duplicates import exact_duplicates
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

_ROW = ["drop", "shard", "source", "subset", "sample_id", "sha256"]
"""What workers are told of a text."""

_SIGNATURE = "signature"
"""Half a kilobyte of each text, which nobody compares from here on."""


def run(spec: JobSpec[TextMixSettings], report: Reporter) -> Manifest:
    """Choose texts of every subset and publish them.

    Raises:
        UserError: a weight is of a subset that is not there, or of which no text is left.
    """
    output = Output(spec.output)
    folders = spec.inputs["text/filtered"]
    earlier = merge([rejected_before(folder).drop_columns([_SIGNATURE]) for folder in folders])
    catalogue = _reject_repeated(merge([_kept(folder) for folder in folders]))
    available = _characters(kept_rows(catalogue))
    _check(spec.settings.weights, set(available), {_part(subset) for subset in earlier["subset"].to_pylist()})
    limits = quotas(available, spec.settings.weights)
    catalogue = _reject_beyond(catalogue, limits, spec.seed)
    units = _plan(kept_rows(catalogue).select(_ROW).to_pylist(), folders)
    work = partial(write_unit, output=output, settings=spec.settings)
    receipts = run_units(output, units, work, report, spec.resources, noun="texts")
    whole = merge([with_stage(catalogue.drop_columns(["drop"]), spec.asset), earlier])
    files = [output.publish_table(CATALOGUE, whole), *(f for r in receipts for f in r.files)]
    figures = _figures(kept_rows(catalogue), available, limits)
    show_mixed(output, report, whole, figures["subsets"])
    return commit(spec, files, count_rows(catalogue), figures)


def _check(weights: Mapping[str, float], subsets: set[str], rejected: set[str]) -> None:
    """Refuse a weight of a subset without texts: misspelt or used up, it would have no share."""
    where = "recipe, curation.text.weights"
    if unknown := sorted(weights.keys() - subsets - rejected):
        names = ", ".join(repr(subset) for subset in sorted(subsets | rejected)) or "none"
        what = f"there are no texts of the subset {unknown[0]!r}"
        raise UserError(what, where, f"Correct the name; subsets with texts: {names}")
    if missing := sorted(subset for subset in weights.keys() - subsets if weights[subset]):
        what = f"all texts of the subset {missing[0]!r} were rejected"
        mend = "Take its weight out, or see in text/filtered why, and change curation.text.filters"
        raise UserError(what, where, mend)


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
    kept = kept_rows(read_catalogue(folder)).drop_columns([_SIGNATURE])
    return set_column(kept, "drop", [str(read_manifest(folder).partition)] * len(kept), pa.string())


def _reject_repeated(catalogue: pa.Table) -> pa.Table:
    """A text that two drops have stays in the first: duplicates were looked for within drops."""
    firsts = exact_duplicates(catalogue["sha256"].to_pylist())
    reasons = [None if first is None else "exact_duplicate" for first in firsts]
    details = [None if first is None else "of a text of another drop" for first in firsts]
    return reject(catalogue, list(reasons), list(details))


def _reject_beyond(catalogue: pa.Table, limits: Mapping[str, int], seed: int) -> pa.Table:
    """What goes over the quota of its subset."""
    reasons, details = catalogue["reason"].to_pylist(), catalogue["detail"].to_pylist()
    left = [number for number, reason in enumerate(reasons) if reason is None]
    rows = catalogue.take(pa.array(left, pa.int64()))
    subsets = [_part(subset) for subset in rows["subset"].to_pylist()]
    chosen = choose(rows["sample_id"].to_pylist(), subsets, rows["characters"].to_pylist(), limits, seed)
    for number, keep, subset in zip(left, chosen, subsets, strict=True):
        if not keep:
            reasons[number] = "over_quota"
            details[number] = f"{subset or 'texts'}: the quota is {limits[subset]} characters"
    return reject(catalogue, reasons, details)


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


def _figures(kept: pa.Table, available: Mapping[str, int], limits: Mapping[str, int]) -> dict[str, Any]:
    """Characters there were, were to be taken and were taken, by subset."""
    taken = _characters(kept)
    return {
        "texts": len(kept),
        "characters": sum_of(kept, "characters"),
        "subsets": {
            subset or "texts": {"available": n, "quota": limits[subset], "taken": taken[subset]}
            for subset, n in sorted(available.items())
        },
    }


def _characters(rows: pa.Table) -> Counter[str]:
    """Characters of each part of the mix."""
    found: Counter[str] = Counter()
    for subset, number in zip(rows["subset"].to_pylist(), rows["characters"].to_pylist(), strict=True):
        found[_part(subset)] += number
    return found


def _part(subset: str) -> str:
    """The part of a mix that a subset lies in."""
    return subset.split("/")[0]
