"""The table of stages: what went in and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from infra.catalogue import Counts

if TYPE_CHECKING:
    from assets.plan import StageResult

COUNTS = ("in", "kept", "rejected", "errored")


def stage_table(results: Sequence[StageResult]) -> Table:
    """One row per asset and partition of a run."""
    table = start_table(("asset", "partition"), (*COUNTS, "seconds"), ("reused",))
    for r in results:
        seconds = "" if r.reused else f"{r.seconds:.1f}"
        reused = "yes" if r.reused else "no"
        table.add_row(r.asset, r.partition or "", *count_cells(r.counts), seconds, reused)
    return table


def start_table(left: Sequence[str], numbers: Sequence[str], right: Sequence[str] = ()) -> Table:
    """An empty table; columns of numbers are aligned to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for name in right:
        table.add_column(name)
    return table


def count_cells(counts: Counts | None) -> list[str]:
    """The cells of `COUNTS`; empty for what was never made."""
    if counts is None:
        return [""] * len(COUNTS)
    return [f"{n:,}" for n in (counts.total, counts.kept, sum(counts.rejected.values()), counts.errored)]
