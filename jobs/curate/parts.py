"""Rows of a catalogue cut into units of work, and their records read from the source once more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeVar

from infra.errors import UserError
from jobs.sources import AnyRecord
from jobs.sources.shards import Shard
from jobs.units import Unit

UNIT_BYTES = 256 << 20
"""Content of one unit of work, which a worker that writes a tar holds in memory."""

Row = dict[str, Any]
R = TypeVar("R", bound=AnyRecord)


@dataclass(frozen=True)
class Part:
    """Rows of one unit and the shard that has their records."""

    shard: Shard
    rows: tuple[Row, ...]

    @property
    def sources(self) -> frozenset[str]:
        """`Record.source` of the records."""
        return frozenset(row["source"] for row in self.rows)


def plan_units(rows: list[Row], shards: list[Shard], unit_bytes: int | None = UNIT_BYTES) -> list[Unit[Part]]:
    """Cut rows into units: one per shard, more where their content exceeds `unit_bytes`.

    Args:
        rows: with `shard`, `source` and `bytes`.
        shards: of the drop.
        unit_bytes: a unit holds no more than this, unless one record alone does; None: as much as there is.
    """
    by_name = {shard.name: shard for shard in shards}
    ordered = sorted(rows, key=lambda row: (row["shard"], row["source"]))
    units = []
    for name, group in groupby(ordered, key=lambda row: str(row["shard"])):
        for number, part in enumerate(_cut(list(group), unit_bytes)):
            unit_name = f"{name}-{number:03d}" if number else name
            units.append(Unit(unit_name, Part(by_name[name], tuple(part)), len(part)))
    return units


def match(
    part: Part, records: Iterable[R], same: Callable[[Row, R], bool], noun: str
) -> Iterator[tuple[Row, R]]:
    """The rows of a part, each with its record, in the order of the records; one at a time.

    Args:
        part: the rows.
        records: those of the part, as the source has them now, and what is said of damage.
        same: whether a record is still what its row was made from.
        noun: what a record is called.

    Raises:
        UserError: the source no longer has what the catalogue says.
    """
    rows = {row["source"]: row for row in part.rows}
    for record in records:
        row = rows.pop(record.source, None)
        if row is None:  # where a file is damaged, a reader says so whatever was wanted
            continue
        if not same(row, record):
            raise _changed(noun, record.source)
        yield row, record
    if rows:
        raise _changed(noun, min(rows))


def _cut(rows: list[Row], unit_bytes: int | None) -> Iterator[list[Row]]:
    part: list[Row] = []
    size = 0
    for row in rows:
        if part and unit_bytes is not None and size + row["bytes"] > unit_bytes:
            yield part
            part, size = [], 0
        part.append(row)
        size += row["bytes"]
    yield part


def _changed(noun: str, place: str) -> UserError:
    return UserError(f"this {noun} changed after it was measured", place, "Run again: it will be listed anew")
