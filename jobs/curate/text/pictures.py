"""What text curation shows people: reasons, lengths, shares, and the openings of what stayed and went."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.manifest import Output
from infra.reporter import Reporter
from jobs.curate.stage import kept_rows
from jobs.pictures.charts import FunnelStage, bar_chart, funnel
from jobs.pictures.texts import histogram, text_sheet

SHEET_TEXTS = 4
"""Openings of each reason."""


def show_filtered(output: Output, report: Reporter, catalogue: pa.Table) -> None:
    """Openings of kept texts and of those rejected for each reason, and the lengths of the kept."""
    rows = {"kept": _sample(kept_rows(catalogue))}
    for reason in sorted(set(catalogue["reason"].drop_null().to_pylist())):
        rows[reason] = _sample(catalogue.filter(pc.equal(catalogue["reason"], reason)))
    _publish(output, report, "texts", text_sheet(rows, "Openings of texts, by what became of them"))
    lengths = kept_rows(catalogue)["characters"].to_pylist()
    if lengths:
        png = histogram(np.asarray(lengths), "Lengths of the texts kept", "characters")
        _publish(output, report, "lengths", png)


def show_mixed(
    output: Output, report: Reporter, catalogue: pa.Table, subsets: Mapping[str, Mapping[str, int]]
) -> None:
    """The funnel over all stages, and what was taken of each subset."""
    _publish(output, report, "funnel", funnel(_funnel(catalogue), "Texts that stay, stage by stage"))
    if subsets:
        taken = {name: float(figures["taken"]) for name, figures in subsets.items()}
        available = {name: float(figures["available"]) for name, figures in subsets.items()}
        png = bar_chart(taken, "Taken of each subset (mark: available)", "characters", available)
        _publish(output, report, "subsets", png)


def _funnel(catalogue: pa.Table) -> list[FunnelStage]:
    left = len(catalogue)
    stages = []
    for name in ("scored", "filtered", "mixed"):
        gone = catalogue.filter(
            pc.and_(pc.equal(catalogue["stage"], name), pc.not_equal(catalogue["status"], "kept"))
        )
        left -= len(gone)
        stages.append(FunnelStage(name, left, dict(sorted(Counter(gone["reason"].to_pylist()).items()))))
    return stages


def _sample(rows: pa.Table) -> list[tuple[str, str]]:
    """(opening, detail) of a few rows, chosen by a hash of their place."""
    found: list[dict[str, Any]] = rows.select(["source", "opening", "detail"]).to_pylist()
    found.sort(key=lambda row: hashlib.sha256(row["source"].encode()).digest())
    return [(row["opening"] or "", row["detail"] or "") for row in found[:SHEET_TEXTS]]


def _publish(output: Output, report: Reporter, name: str, png: bytes) -> None:
    report.picture(name, output.picture(name, png))
