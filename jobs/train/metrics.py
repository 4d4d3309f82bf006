"""What a run measures at each step: rows that are a function of the run's content, never of its speed."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

Row = dict[str, float]

WINDOW = 20
"""Steps whose mean stands for the beginning or the end of a run."""


def to_table(rows: Sequence[Row]) -> pa.Table:
    """Rows as a table: `step` is an integer, everything else fp64; what a step lacks is null."""
    names = sorted({name for row in rows for name in row} - {"step"})
    fields = [pa.field("step", pa.int64()), *(pa.field(name, pa.float64()) for name in names)]
    return pa.Table.from_pylist(list(rows), schema=pa.schema(fields))


def to_rows(table: pa.Table) -> list[Row]:
    """The inverse of `to_table`."""
    return [{k: v for k, v in row.items() if v is not None} for row in table.to_pylist()]


def loss_names(rows: Sequence[Row]) -> list[str]:
    """The losses among the measurements: overall, text, then scale by scale."""
    found = {name for row in rows for name in row if name.startswith("loss")}
    return sorted(found, key=lambda name: (name.count("/"), "scale" in name, len(name), name))


def live_figures(row: Row) -> Row:
    """A row for people who wait: the losses first, without the step, which they see."""
    losses = loss_names([row])
    rest = [name for name in row if name not in losses and name != "step"]
    return {name: row[name] for name in (*losses, *rest)}


def first_and_last(rows: Sequence[Row], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The mean of each measurement over the first and over the last steps that have it."""
    return {
        "first": {name: mean for name in names if (mean := _mean(rows[:WINDOW], name)) is not None},
        "last": {name: mean for name in names if (mean := _mean(rows[-WINDOW:], name)) is not None},
    }


def curves(rows: Sequence[Row], names: Sequence[str]) -> dict[str, list[float]]:
    """Measurements over the steps, for a chart; a step that lacks one repeats the last there was."""
    return {name: _filled([row.get(name) for row in rows]) for name in names}


def _filled(values: Sequence[float | None]) -> list[float]:
    known = next((value for value in values if value is not None), 0.0)
    filled = []
    for value in values:
        known = known if value is None else value
        filled.append(known)
    return filled


def _mean(rows: Sequence[Row], name: str) -> float | None:
    values = [row[name] for row in rows if name in row]
    return sum(values) / len(values) if values else None
