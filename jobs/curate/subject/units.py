"""Pairs cut into units of work: by the shard of their references, and by the bytes of their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.sources.shards import Shard
from jobs.units import Unit

Row = dict[str, Any]

_COLUMNS = ["sample_id", "source", "shard", "group", "caption", "caption_problem", "truth"]
_COLUMNS += ["bytes", "sha256", "format", "width", "height"]


@dataclass(frozen=True)
class Part:
    """Pairs of one unit, and their pictures by source with the shards that hold them."""

    pairs: tuple[Row, ...]
    pictures: dict[str, Row]
    shards: tuple[Shard, ...]


def plan_units(
    pairs: list[Row], pictures: pa.Table, shards: list[Shard], unit_bytes: int
) -> list[Unit[Part]]:
    """Cut pairs into units; those of a group stay together where the limit allows it.

    Args:
        pairs: rows with `source`, `group`, `reference` and `target`.
        pictures: rows of pictures, at least those of the pairs.
        shards: of the drop.
        unit_bytes: the pictures of a unit hold no more bytes than this, unless one pair alone does.
    """
    sources = {row[side] for row in pairs for side in ("reference", "target")}
    wanted = pictures.filter(pc.is_in(pictures["source"], pa.array(sorted(sources), pa.string())))
    known = {row["source"]: row for row in wanted.select(_COLUMNS).to_pylist()}
    by_name = {shard.name: shard for shard in shards}
    ordered = sorted(pairs, key=lambda row: (_shard(row, known), row["group"], row["source"]))
    units = []
    for name, members in groupby(ordered, key=lambda row: _shard(row, known)):
        for number, part in enumerate(_cut(list(members), known, unit_bytes)):
            own = {row[side]: known[row[side]] for row in part for side in ("reference", "target")}
            needed = sorted({row["shard"] for row in own.values()})
            payload = Part(tuple(part), own, tuple(by_name[shard] for shard in needed))
            units.append(Unit(f"{name}-{number:03d}" if number else name, payload, len(part)))
    return units


def _shard(row: Row, known: dict[str, Row]) -> str:
    return str(known[row["reference"]]["shard"])


def _cut(pairs: list[Row], known: dict[str, Row], unit_bytes: int) -> Iterator[list[Row]]:
    part: list[Row] = []
    held: set[str] = set()
    size = 0
    for row in pairs:
        more = {row["reference"], row["target"]} - held
        extra = sum(known[source]["bytes"] for source in more)
        if part and size + extra > unit_bytes:
            yield part
            part, held = [], set()
            more = {row["reference"], row["target"]}
            extra, size = sum(known[source]["bytes"] for source in more), 0
        part.append(row)
        held |= more
        size += extra
    yield part
