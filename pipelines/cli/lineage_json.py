"""A trace as plain values, for programs: ids as 16 hex digits, folders as URIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from infra.catalogue import BASE_FIELDS

if TYPE_CHECKING:
    from assets.lineage.ancestry import Fate
    from assets.lineage.trace import CheckpointTrace, DocumentTrace, PackTrace, RecordTrace, Trace

_BASE = {field.name for field in BASE_FIELDS}


def to_json(trace: Trace, forgotten: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Everything that a trace found.

    Args:
        trace: of a record, a pack or a checkpoint.
        forgotten: samples that no pack may hold, with the folders of checkpoints that had seen each.
    """
    from assets.lineage.trace import PackTrace, RecordTrace

    if isinstance(trace, RecordTrace):
        return _records(trace, forgotten)
    return _pack(trace) if isinstance(trace, PackTrace) else _checkpoint(trace)


def scores(row: dict[str, Any]) -> dict[str, Any]:
    """What a stage measured of a record: the columns that not every catalogue has."""
    plain = (str, int, float, bool)
    return {name: value for name, value in row.items() if name not in _BASE and isinstance(value, plain)}


def _records(trace: RecordTrace, forgotten: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {
        "kind": "record",
        "records": list(trace.records),
        "fates": [_fate(fate) | {"scores": scores(fate.row)} for fate in trace.fates],
        "documents": [_document(document, forgotten) for document in trace.documents],
    }


def _fate(fate: Fate) -> dict[str, Any]:
    place = {"asset": fate.place.asset.key, "partition": fate.place.partition, "folder": fate.place.folder}
    said = {name: fate.row[name] for name in ("source", "status", "reason", "detail")}
    return place | {"sample_id": fate.sample_id} | said | {"records": sorted(fate.records)}


def _document(document: DocumentTrace, forgotten: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return _fate(document.fate) | {
        "forgotten": document.fate.sample_id in forgotten,
        "seen_before": list(forgotten.get(document.fate.sample_id, ())),
        "tokens": [asdict(row) for row in document.tokens],
        "packs": [asdict(packed) for packed in document.packed],
        "checkpoints": [asdict(checkpoint) for checkpoint in document.checkpoints],
    }


def _pack(trace: PackTrace) -> dict[str, Any]:
    return {"kind": "pack"} | asdict(trace)


def _checkpoint(trace: CheckpointTrace) -> dict[str, Any]:
    return {"kind": "checkpoint"} | asdict(trace)
