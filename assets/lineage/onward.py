"""From curated documents to their tokens, the packs that hold them, and the checkpoints trained on these."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from assets.lineage.ancestry import Fate
from assets.lineage.home import Home, catalogue_rows, files, input_folders
from assets.lineage.match import Among, Row
from assets.lineage.pack_files import PackFiles, PackPlace
from assets.locate import Place
from assets.partitions import level_of
from assets.tokens import CURATED
from infra.document import format_id, parse_id

DOCUMENTS = {key for key, _ in CURATED.values()}
"""Assets whose kept rows are the curated documents that are extracted."""


@dataclass(frozen=True)
class TokenRow:
    """A document's row of an extraction's catalogue."""

    asset: str
    partition: str | None
    level: str | None
    folder: str
    file: str | None
    tar: str
    """Of the curated documents, relative to their folder."""
    member: str
    status: str
    reason: str | None
    detail: str | None
    tokens: int | None
    made_from: tuple[str, ...]
    """Folders that the extraction read."""


@dataclass(frozen=True)
class Packed:
    """What packing for a stage made of a document."""

    asset: str
    folder: str
    source: str
    """The row of tokens that was packed, or was not: equal documents have several."""
    status: str
    reason: str | None
    packs: tuple[PackPlace, ...]


@dataclass(frozen=True)
class Onward:
    """What was made of curated documents, by sample id."""

    tokens: dict[str, list[TokenRow]]
    packed: dict[str, list[Packed]]


def onward(home: Home, documents: Sequence[Fate]) -> Onward:
    """Follow documents through extraction and packing.

    Args:
        home: what is published.
        documents: kept rows of `DOCUMENTS`.
    """
    ids = {parse_id(fate.sample_id) for fate in documents}
    extracted = home.reading("tokens", sorted({fate.place.folder for fate in documents}))
    packings = home.reading("packing", [place.folder for place in extracted])
    tokens: dict[str, list[TokenRow]] = defaultdict(list)
    packed: dict[str, list[Packed]] = defaultdict(list)
    for place in extracted:
        for row in catalogue_rows(place, {"sample_id": Among(ids)}):
            tokens[format_id(row["sample_id"])].append(_token_row(place, row))
    for place in packings:
        stored = PackFiles(place)
        for row in _pack_rows(place, ids):
            packed[format_id(row["sample_id"])].append(_packed(place, row, stored))
    return Onward(dict(tokens), dict(packed))


def packs_of(packed: Iterable[Packed]) -> dict[str, set[int]]:
    """Numbers of packs by the folder of their packing."""
    found: dict[str, set[int]] = defaultdict(set)
    for one in packed:
        if one.packs:
            found[one.folder].update(pack.number for pack in one.packs)
    return dict(found)


def _token_row(place: Place, row: Row) -> TokenRow:
    tar, _, member = row["source"].rpartition("#")
    partition = place.partition
    unit = row.get("unit")
    paths = [path for path in files(place, "data/") if PurePosixPath(path).stem == unit]
    return TokenRow(
        asset=place.asset.key,
        partition=partition,
        level=level_of(partition) if partition and place.asset.levels else None,
        folder=place.folder,
        file=paths[0] if paths and row["status"] == "kept" else None,
        tar=tar,
        member=member,
        status=row["status"],
        reason=row["reason"],
        detail=row["detail"],
        tokens=row["tokens"],
        made_from=tuple(input_folders(place)),
    )


def _pack_rows(place: Place, ids: Collection[int]) -> Iterable[Row]:
    columns = ["sample_id", "source", "status", "reason", "packs"]
    return catalogue_rows(place, {"sample_id": Among(ids)}, columns)


def _packed(place: Place, row: Row, stored: PackFiles) -> Packed:
    found = map(stored.find, row["packs"])
    places = tuple(pack for pack in found if pack is not None)
    return Packed(place.asset.key, place.folder, row["source"], row["status"], row["reason"], places)
