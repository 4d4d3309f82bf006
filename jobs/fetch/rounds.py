"""What was fetched before, so that a later round asks only for what could not be had.

The cache has a pointer for each span of a list of URLs, to the unit that fetched it last. It is found
again whatever the round, the pace, or the drop that the span has come to lie in.
"""

from __future__ import annotations

from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from infra import storage
from infra.manifest import Receipt, digest, read_table
from infra.storage import FileInfo
from jobs.fetch.ledger import Row, row_outcome
from jobs.fetch.outcome import Outcome
from jobs.recipe.sources import PACE, UrlSource
from jobs.sources.fetched import Link, iter_pictures
from jobs.sources.shards import Shard

_ANY_SIZE = 1 << 62


class Pointer(BaseModel):
    """Where a span was fetched last: the output folder, and the receipt of the unit there."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    output: str
    receipt: Receipt

    def uris(self, suffix: str) -> list[str]:
        """The unit's files with a suffix, in order."""
        files = self.receipt.files
        return [storage.join(self.output, file.path) for file in files if file.path.endswith(suffix)]


def pointer_uri(cache: str, asset: str, source: UrlSource, shard: Shard) -> str:
    """The place of a span's pointer: named by its rows, and by the settings that decide about a picture."""
    settings = source.model_dump(
        mode="json", exclude={"uri": True, "drop_shards": True, "fetch": dict.fromkeys(PACE, True)}
    )
    files = [f"{file.uri} {file.bytes} {file.version}" for file in shard.files]
    name = digest({"asset": asset, "settings": settings, "files": files, "start": shard.start})
    return storage.join(cache, "fetch", f"{name[:32]}.json")


def read_pointer(uri: str) -> Pointer | None:
    """The pointer at a place, or None where there is none, or what it points to is no longer there."""
    if not storage.exists(uri):
        return None
    pointer = Pointer.model_validate_json(storage.read_bytes(uri))
    return pointer if all(map(storage.exists, pointer.uris(""))) else None


class Earlier:
    """What is known of a span's links before any of them is asked for."""

    def __init__(self, pointer: Pointer | None) -> None:
        ledgers = pointer.uris(".parquet") if pointer else []
        tars = tuple(FileInfo(uri, 0, "") for uri in (pointer.uris(".tar") if pointer else []))
        rows = (row for uri in ledgers for row in read_table(uri).to_pylist())
        self._rows: dict[str, Row] = {row["source"]: row for row in rows}
        self._pictures = iter_pictures(Shard("", tars), _ANY_SIZE, None)

    def outcome(self, link: Link) -> Outcome | None:
        """What is certain: the link has no URL, its picture came before, or was refused."""
        if link.reason is not None:
            return Outcome("rejected", link.reason, link.detail)
        row = self._rows.get(link.source)
        return row_outcome(row) if row and row["status"] != "errored" else None

    def picture(self, link: Link) -> bytes:
        """The picture that came before. To be asked for in the order of the links."""
        record = next(self._pictures)
        assert record.source == link.source, "tars are in the order of links"
        assert record.image is not None
        return record.image

    def all_attempts(self, link: Link, outcome: Outcome) -> Outcome:
        """A new outcome with the attempts of earlier rounds counted."""
        row = self._rows.get(link.source)
        return replace(outcome, attempts=outcome.attempts + (row["attempts"] if row else 0))
