"""What a home has forgotten: documents that no pack may hold, and the source records they came from.

`<home>/forgotten.json` is written whole or not at all. It only grows; whoever wants a document back edits it.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, ValidationError

from infra import storage
from infra.errors import UserError
from jobs.recipe import Recipe
from jobs.recipe.project import SampleId

LIST = "forgotten.json"


class Forgotten(BaseModel):
    """A document that no pack may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sample_id: SampleId
    family: str
    records: tuple[str, ...]
    """Source records that were forgotten, and that it was made from."""
    checkpoints: tuple[str, ...] = ()
    """Folders of the checkpoints that had seen it."""


class _List(BaseModel):
    model_config = ConfigDict(extra="forbid")
    documents: tuple[Forgotten, ...] = ()


def read_forgotten(home: str) -> dict[str, Forgotten]:
    """The forgotten documents of a home, by sample id.

    Raises:
        UserError: the list is not one; nothing may be packed as if it were empty.
    """
    uri = storage.join(home, LIST)
    if not storage.exists(uri):
        return {}
    try:
        found = _List.model_validate_json(storage.read_bytes(uri))
    except ValidationError as error:
        what = f"not a list of forgotten documents ({error.errors()[0]['msg']})"
        raise UserError(what, uri, "Restore the file; packs are not made without it") from error
    return {document.sample_id: document for document in found.documents}


def add_forgotten(home: str, documents: Iterable[Forgotten]) -> int:
    """Add documents to a home's list; those that are on it stay as they are. Returns how many are new."""
    known = read_forgotten(home)
    new = {document.sample_id: document for document in documents if document.sample_id not in known}
    if new:
        every = sorted((known | new).values(), key=lambda document: document.sample_id)
        text = _List(documents=tuple(every)).model_dump_json(indent=1)
        storage.publish_bytes(storage.join(home, LIST), text.encode())
    return len(new)


def merge_forgotten(recipe: Recipe, home: str) -> Recipe:
    """The recipe with all that its home has forgotten besides."""
    every = sorted({*recipe.forgotten, *read_forgotten(home)})
    return recipe if every == recipe.forgotten else recipe.model_copy(update={"forgotten": every})
