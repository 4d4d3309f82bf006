"""Forgetting: all that was made of source records, and packs that must not stay.

Documents are forgotten by their ids, those of the records themselves included, so that a record that is
rejected today is in no pack either when a later recipe keeps it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from assets.forgotten import Forgotten, read_forgotten
from assets.lineage.ancestry import ascend
from assets.lineage.checkpoints import PACKS_AREA, seen
from assets.lineage.home import Home, is_first, output_folders
from assets.lineage.identify import FORMS, ID, RecordId, find_samples, parse, require_found
from assets.lineage.pack_files import holds_one
from assets.lineage.trace import RecordTrace, trace_records
from assets.locate import Place
from assets.project import Project
from infra import storage
from infra.document import format_id, parse_id
from infra.errors import UserError
from infra.manifest import MANIFEST


def plan_forgetting(home: Home, project: Project, texts: Sequence[str]) -> RecordTrace:
    """The source records that are meant, and all that was made of them. Only looks.

    What is on the home's list already is known, even where nothing else of it is left.

    Raises:
        UserError: an id names nothing, several things, or no sample or record.
    """
    for text in texts:
        if not isinstance(parse(text), RecordId):
            raise UserError("is neither a sample nor a record of a source", text, FORMS)
    found, known = find_samples(home, texts), read_forgotten(project.home).values()
    listed = {text for text in texts if any(_is_meant(text, one) for one in known)}
    require_found(home, {text: ids for text, ids in found.items() if text not in listed})
    records = ascend(home, set[int]().union(*found.values()))
    return trace_records(home, project.recipe, records)


def to_forget(home: str, plan: RecordTrace) -> list[Forgotten]:
    """The entries for a home's list, one for each sample, by id."""
    records: dict[str, set[str]] = defaultdict(set)
    families: dict[str, str] = {}
    for fate in [fate for fate in plan.fates if is_first(fate.place)] + [d.fate for d in plan.documents]:
        records[fate.sample_id] |= fate.records
        families[fate.sample_id] = fate.place.asset.key.partition("/")[0]
    saw = _saw(home, plan, records)
    return [
        Forgotten(
            sample_id=id_,
            family=families[id_],
            records=tuple(sorted(records[id_])),
            checkpoints=tuple(sorted(saw[id_])),
        )
        for id_ in sorted(records)
    ]


def kept_in(plan: RecordTrace) -> list[str]:
    """Folders of the outputs that keep something of the records or of what was made of them, inputs first.

    Of packs none: these are made anew. What else is kept differs: a row of a catalogue at least; most have
    tars, thumbnails, texts or sheets of pictures besides.
    """
    curated = [fate.place.folder for fate in plan.fates]
    return list(dict.fromkeys(curated + [row.folder for d in plan.documents for row in d.tokens]))


def checkpoints_before(project: Project) -> dict[str, tuple[str, ...]]:
    """Folders of the checkpoints that had seen each forgotten sample when it was forgotten, as listed."""
    listed = read_forgotten(project.home)
    return {id_: listed[id_].checkpoints if id_ in listed else () for id_ in project.recipe.forgotten}


def packed_stages(project: Project) -> list[str]:
    """Keys of the stages of the recipe that packs were ever made for, in the recipe's order."""
    made = {folder.rsplit("/", 2)[1] for folder in output_folders(project.home, PACKS_AREA)}
    return [f"{PACKS_AREA}/{stage}" for stage in project.recipe.stages if stage in made]


def superseded_packs(project: Project, places: Iterable[Place]) -> list[str]:
    """Folders of packs that the recipe does not name any more and that hold what is forgotten.

    A folder without a manifest is one of them: it was never finished, or its removal was not.

    Args:
        project: whose packs.
        places: where the outputs of its recipe are.
    """
    current = {place.folder for place in places}
    ids = [int(id_, 16) for id_ in project.recipe.forgotten]
    return [
        folder
        for folder, paths in output_folders(project.home, PACKS_AREA).items()
        if folder not in current and (MANIFEST not in paths or holds_one(folder, paths, ids))
    ]


def remove_packs(folder: str) -> None:
    """Remove a folder of packs, its manifest first: half a removal leaves nothing that looks finished."""
    storage.remove(storage.join(folder, MANIFEST))
    storage.remove(folder)


def _saw(home: str, plan: RecordTrace, ids: Collection[str]) -> dict[str, set[str]]:
    """Folders of the checkpoints that have seen each sample; what the home's list says is not lost."""
    found: dict[str, set[str]] = defaultdict(set)
    for id_, known in read_forgotten(home).items():
        found[id_].update(known.checkpoints)
    for document in plan.documents:
        found[document.fate.sample_id].update(one.folder for one in document.checkpoints)
    for folder, samples in seen(home, set(map(parse_id, ids))).items():
        for sample in samples:
            found[format_id(sample)].add(folder)
    return found


def _is_meant(text: str, forgotten: Forgotten) -> bool:
    """Whether a text is the beginning of a forgotten document's id, or one of its records."""
    begins = ID.fullmatch(text) is not None and forgotten.sample_id.startswith(text.lower())
    members = {record.rpartition("#")[2] for record in forgotten.records}
    return begins or text in members.union(forgotten.records)
