"""Figures of an extraction: sums over the rows of a unit, and over all units."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from infra.manifest import Receipt
from model.scales import ScaleSchedule

Rows = Sequence[dict[str, Any]]


def unit_figures(rows: Rows, schedules: Sequence[ScaleSchedule]) -> dict[str, Any]:
    """What a unit's receipt says of its rows."""
    return {
        "families": family_sums(rows),
        "schedules": dict(sorted(schedule_counts(rows).items())),
        "changed": changed_by_scale(rows, schedules),
    }


def total_figures(receipts: Sequence[Receipt]) -> dict[str, Any]:
    """Sums over the units, the share of corrected inputs at each scale, and bytes of a document."""
    schedules: Counter[str] = sum((Counter(r.metadata["schedules"]) for r in receipts), Counter())
    documents = sum(receipt.counts.kept for receipt in receipts)
    stored = sum(entry.bytes for receipt in receipts for entry in receipt.files)
    families: dict[str, Counter[str]] = {}
    for receipt in receipts:
        for family, sums in receipt.metadata["families"].items():
            families.setdefault(family, Counter()).update(sums)
    figures: dict[str, Any] = {
        "documents": documents,
        "images": schedules.total(),
        "tokens": sum(sums["tokens"] for sums in families.values()),
        "families": {family: dict(sums) for family, sums in sorted(families.items())},
        "bytes": stored,
        "bytes_per_document": round(stored / documents, 1) if documents else 0.0,
    }
    if schedules:
        changed, inputs = np.sum([receipt.metadata["changed"] for receipt in receipts], axis=0).T
        share = (changed / np.maximum(inputs, 1)).tolist()
        figures |= {"schedules": dict(sorted(schedules.items())), "corrected_share": share}
    return figures


def family_sums(rows: Rows) -> dict[str, dict[str, int]]:
    """Documents, tokens and pairs of each family."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        sums = {"documents": 1, "tokens": row["tokens"], "pairs": row["pairs"]}
        found.setdefault(row["family"], Counter()).update(sums)
    return {family: dict(sums) for family, sums in sorted(found.items())}


def schedule_counts(rows: Rows) -> Counter[str]:
    """How many pictures each schedule has."""
    return Counter(s["schedule"] for row in rows for s in row["segments"] if s["kind"] == "image")


def changed_by_scale(rows: Rows, schedules: Sequence[ScaleSchedule]) -> list[list[int]]:
    """For each scale of predicted images: inputs that differ from their targets, and all inputs."""
    by_name = {schedule.name: schedule for schedule in schedules}
    totals = np.zeros((max((len(s.grids) for s in schedules), default=0), 2), np.int64)
    for row in rows:
        bits = np.unpackbits(np.frombuffer(row["changed"], np.uint8), bitorder="little")
        at = 0
        for segment in row["segments"]:
            if segment["kind"] == "image":
                schedule = by_name[segment["schedule"]]
                scales = len(schedule.grids)
                places = [at + start for start in schedule.starts]
                at += schedule.tokens
                if segment["loss"]:
                    totals[:scales, 0] += np.add.reduceat(bits[:at], places, dtype=np.int64)
                    totals[:scales, 1] += schedule.lengths
    found: list[list[int]] = totals.tolist()
    return found
