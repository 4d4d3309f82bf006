"""Everything that is known of a record, a pack or a checkpoint, in both directions."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from assets.lineage.ancestry import Fate, ascend, descend
from assets.lineage.checkpoints import Checkpoint, checkpoint, checkpoints_of, families, trainings
from assets.lineage.home import Home, catalogue_rows, input_folders
from assets.lineage.identify import CheckpointId, PackId, find_samples, parse, require_found
from assets.lineage.match import Among, Row, matching
from assets.lineage.onward import DOCUMENTS, Packed, TokenRow, onward, packs_of
from assets.lineage.pack_files import PackFiles, PackPlace
from assets.locate import Place
from infra import storage
from infra.document import format_id
from infra.errors import UserError
from jobs.recipe import Recipe

_OF_PACKED = ("sample_id", "family", "tokens", "repeat")


@dataclass(frozen=True)
class DocumentTrace:
    """A curated document and what was made of it."""

    fate: Fate
    tokens: Sequence[TokenRow]
    packed: Sequence[Packed]
    checkpoints: Sequence[Checkpoint]


@dataclass(frozen=True)
class RecordTrace:
    """Source records: their fates, the documents made from them, and where these went."""

    records: Sequence[str]
    fates: Sequence[Fate]
    documents: Sequence[DocumentTrace]


@dataclass(frozen=True)
class PackedDocument:
    """A document of a pack. `source` is empty where the curated documents are gone."""

    sample_id: str
    family: str
    tokens: int
    repeat: int
    source: str


@dataclass(frozen=True)
class PackTrace:
    """A pack: what is in it, and which checkpoints were trained on its packing."""

    asset: str
    folder: str
    place: PackPlace
    tokens: int
    cost: float
    documents: Sequence[PackedDocument]
    checkpoints: Sequence[Checkpoint]


@dataclass(frozen=True)
class CheckpointTrace:
    """A checkpoint, what it was trained on, and what starts from it."""

    checkpoint: Checkpoint
    families: dict[str, float]
    """Shares of the tokens."""
    after: Sequence[Checkpoint]


Trace = RecordTrace | PackTrace | CheckpointTrace


def trace(home: Home, recipe: Recipe, text: str) -> Trace:
    """All that is known of what an id names.

    Raises:
        UserError: it names nothing, or several things.
    """
    target = parse(text)
    if isinstance(target, PackId):
        return trace_pack(home, recipe, target)
    if isinstance(target, CheckpointId):
        return trace_checkpoint(home, recipe, target.asset)
    found = find_samples(home, [text])
    require_found(home, found)
    return trace_records(home, recipe, ascend(home, found[text]))


def trace_records(home: Home, recipe: Recipe, records: Sequence[str]) -> RecordTrace:
    """Follow source records through every stage."""
    fates = descend(home, records)
    documents = [f for f in fates if f.place.asset.key in DOCUMENTS and f.row["status"] == "kept"]
    further = onward(home, documents)
    found = [
        DocumentTrace(
            fate,
            [row for row in further.tokens.get(fate.sample_id, ()) if fate.place.folder in row.made_from],
            packed := further.packed.get(fate.sample_id, ()),
            checkpoints_of(home, recipe, packs_of(packed)),
        )
        for fate in documents
    ]
    return RecordTrace(records, fates, found)


def trace_pack(home: Home, recipe: Recipe, pack: PackId) -> PackTrace:
    """What a pack holds and where it went.

    Raises:
        UserError: there is no such pack.
    """
    place = _finished(home.made("packing"), pack.asset)
    found = PackFiles(place).find(pack.number)
    if found is None:
        raise UserError(
            f"has no pack {pack.number}",
            pack.asset,
            "Numbers count from 0; a pack that lost every document is not stored",
        )
    columns = ["pack", "tokens", "cost", *(f"documents.list.element.{name}" for name in _OF_PACKED)]
    uri = storage.join(place.folder, found.file)
    (row,) = matching(uri, {"pack": Among([pack.number])}, columns)
    return PackTrace(
        asset=pack.asset,
        folder=place.folder,
        place=found,
        tokens=row["tokens"],
        cost=row["cost"],
        documents=_with_sources(home, place, row["documents"]),
        checkpoints=checkpoints_of(home, recipe, {place.folder}),
    )


def trace_checkpoint(home: Home, recipe: Recipe, asset: str) -> CheckpointTrace:
    """What a checkpoint was trained on, and what starts from it.

    Raises:
        UserError: there is no such checkpoint.
    """
    place = _finished(trainings(home), asset)
    own = checkpoint(home, recipe, place)
    later = [one for one in checkpoints_of(home, recipe, {own.packs}) if asset in one.before]
    return CheckpointTrace(own, families(home, place), later)


def _finished(places: Sequence[Place], asset: str) -> Place:
    for place in places:
        if place.asset.key == asset:
            return place
    known = ", ".join(place.asset.key for place in places) or "none"
    raise UserError("is not finished, or is no stage of the recipe", asset, f"Finished are: {known}")


def _with_sources(home: Home, packs: Place, documents: Sequence[Row]) -> list[PackedDocument]:
    """The documents of a pack with the sources that their curation knows."""
    extracted = [place for place in home.made("tokens") if place.folder in set(input_folders(packs))]
    folders = {folder for place in extracted for folder in input_folders(place)}
    sources = _sources(home, folders, {row["sample_id"] for row in documents})
    return [
        PackedDocument(
            sample_id=format_id(row["sample_id"]),
            family=row["family"],
            tokens=row["tokens"],
            repeat=row["repeat"],
            source=sources.get(row["sample_id"], ""),
        )
        for row in documents
    ]


def _sources(home: Home, folders: Collection[str], ids: Collection[int]) -> dict[int, str]:
    curated = [place for place in home.curated if place.folder in folders]
    columns = ["sample_id", "source", "status", "stage"]
    return {
        row["sample_id"]: row["source"]
        for place in curated
        for row in catalogue_rows(place, {"sample_id": Among(ids)}, columns)
        if row["status"] == "kept"
    }
