"""What a user means by an id: a sample, a record of a source, a pack or a checkpoint."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from assets.lineage.home import Home, catalogue_rows, is_first
from assets.lineage.match import Among, Condition, Member, Row, Within
from assets.locate import Place
from infra import storage
from infra.document import format_id
from infra.errors import UserError

DIGITS = 16
LEAST_DIGITS = 6
_SHOWN = 3

ID = re.compile(rf"[0-9a-fA-F]{{{LEAST_DIGITS},{DIGITS}}}")
"""A sample's id, or enough of its beginning."""

_PACK = re.compile(r"(packs/[^#]+)#(\d{1,10})")

FORMS = (
    f"A sample has {DIGITS} hex digits, of which {LEAST_DIGITS} are enough; a record is <uri>#<member> or "
    "the member alone, a pack packs/<stage>#<number>, a checkpoint training/<stage>"
)


@dataclass(frozen=True)
class PackId:
    """A pack of a stage."""

    asset: str
    number: int


@dataclass(frozen=True)
class CheckpointId:
    """A trained stage."""

    asset: str


@dataclass(frozen=True)
class RecordId:
    """A sample or a record of a source."""

    text: str


def parse(text: str) -> PackId | CheckpointId | RecordId:
    """What kind of thing an id names, by its form alone.

    Raises:
        UserError: it is empty, or names packs without a number.
    """
    if not text:
        raise UserError("an id is empty", "ID", FORMS)
    if found := _PACK.fullmatch(text):
        return PackId(found[1], int(found[2]))
    if text.startswith("packs/"):
        raise UserError("which of its packs?", text, f"Add its number: {text.partition('#')[0]}#0")
    return CheckpointId(text) if text.startswith("training/") else RecordId(text)


def find_samples(home: Home, texts: Iterable[str]) -> dict[str, set[int]]:
    """The samples that each text means: an id or its beginning, else a record or its member's name.

    A text that means nothing has no samples.

    Raises:
        UserError: a text means several things.
    """
    wanted = list(dict.fromkeys(texts))
    found = _begin_so(home, [text for text in wanted if ID.fullmatch(text)])
    for look in (_called_so, _with_member):
        found |= look(home, [text for text in wanted if not found.get(text)])
    return {text: found[text] for text in wanted}


def require_found(home: Home, found: Mapping[str, Collection[int]]) -> None:
    """Refuse texts that mean nothing.

    Raises:
        UserError: says where was looked, and how ids look.
    """
    unknown = [text for text, ids in found.items() if not ids]
    if unknown:
        keys = dict.fromkeys(place.asset.key for place in home.curated)
        looked = f"Looked at the catalogues of {', '.join(keys)}" if keys else "Nothing is curated here yet"
        raise UserError("no such sample or record", ", ".join(unknown), f"{looked}. {FORMS}")


def _begin_so(home: Home, texts: Sequence[str]) -> dict[str, set[int]]:
    """The sample whose id begins with each text."""
    within = Within(_range(text) for text in texts)
    ids = {row["sample_id"] for row in _rows(home.curated, "sample_id", within)} if texts else set()
    found = {text: {id_ for id_ in ids if format_id(id_).startswith(text.lower())} for text in texts}
    for text, several in found.items():
        _refuse_several(text, sorted(map(format_id, several)), "samples begin so")
    return found


def _range(text: str) -> tuple[int, int]:
    rest = 4 * (DIGITS - len(text))
    low = int(text, 16) << rest
    return low, low + (1 << rest) - 1


def _called_so(home: Home, texts: Sequence[str]) -> dict[str, set[int]]:
    """Samples of the record that each text is the name of."""
    names = {spelling: text for text in texts for spelling in _spellings(text)}
    found: dict[str, set[int]] = {text: set() for text in texts}
    for row in _rows(home.curated, "source", Among(names)):
        found[names[row["source"]]].add(row["sample_id"])
    return found


def _with_member(home: Home, texts: Sequence[str]) -> dict[str, set[int]]:
    """Samples of the only record with a member of this name."""
    first = [place for place in home.curated if is_first(place)]
    found: dict[str, set[int]] = {text: set() for text in texts}
    sources: dict[str, set[str]] = {text: set() for text in texts}
    for row in _rows(first, "source", Member(texts)) if texts else ():
        member = row["source"].rpartition("#")[2]
        found[member].add(row["sample_id"])
        sources[member].add(row["source"])
    for text, several in sources.items():
        _refuse_several(text, sorted(several), "records have a member of this name")
    return found


def _rows(places: Sequence[Place], column: str, condition: Condition) -> Iterator[Row]:
    for place in places:
        yield from catalogue_rows(place, {column: condition}, ["sample_id", "source", "stage"])


def _spellings(text: str) -> list[str]:
    """A record as catalogues write it; a file of a folder is `<folder>#<name>` there."""
    path = text if storage.is_remote(text) else os.path.abspath(os.path.expanduser(text))
    folder, _, name = path.rpartition("/")
    return [text, f"{folder}#{name}"]


def _refuse_several(text: str, found: list[str], what: str) -> None:
    if len(found) > 1:
        shown = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise UserError(f"{len(found)} {what}: {shown}", text, "Give more of the one that you mean")
