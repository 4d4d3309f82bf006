"""What became of some documents of a unit, and how it is kept while the unit is worked on in parts.

parts/<unit>/<first>-<last>.parquet    removed when the run is finished
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from infra import storage
from infra.document import parse_id
from infra.manifest import Output, read_table
from jobs.attempts import Span
from jobs.extract.prepare import Refusal
from jobs.schemas import TOKENS_SCHEMA

FOLDER = "parts"
_REFUSED = b"nextscale.refused"


@dataclass
class Piece:
    """Rows of documents, and why others have none."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    def refuse(self, refusal: Refusal) -> None:
        """Refuse a document, once: of several pictures the first that fails says why."""
        if all(one.sample_id != refusal.sample_id for one in self.refused):
            self.refused.append(refusal)

    def in_order(self) -> Piece:
        """The same, by sample id."""
        rows = sorted(self.rows, key=lambda row: int(row["sample_id"]))
        return Piece(rows, sorted(self.refused, key=lambda refusal: refusal.sample_id))


def join(pieces: Iterable[Piece]) -> Piece:
    """Several pieces as one."""
    whole = Piece()
    for piece in pieces:
        whole.rows += piece.rows
        whole.refused += piece.refused
    return whole.in_order()


class Parts:
    """The finished parts of one unit."""

    def __init__(self, output: Output, unit: str) -> None:
        self._output = output
        self._unit = unit
        self._found = {file.uri for file in storage.list_files(storage.join(output.uri, FOLDER, unit))}

    def read(self, span: Span) -> Piece | None:
        """A part, where it is finished."""
        uri = storage.join(self._output.uri, self._path(span))
        if uri not in self._found:
            return None
        table = read_table(uri)
        refused = json.loads(table.schema.metadata[_REFUSED])
        return Piece(
            table.to_pylist(), [Refusal(**{**r, "sample_id": parse_id(r["sample_id"])}) for r in refused]
        )

    def publish(self, span: Span, piece: Piece) -> None:
        """Keep a part."""
        refused = json.dumps([refusal.to_json() for refusal in piece.refused])
        table = pa.Table.from_pylist(piece.rows, schema=TOKENS_SCHEMA)
        self._output.publish_table(
            self._path(span), table.replace_schema_metadata({_REFUSED: refused.encode()})
        )

    def _path(self, span: Span) -> str:
        return f"{FOLDER}/{self._unit}/{span}.parquet"


def remove_parts(output: Output) -> None:
    """Remove the parts of every unit; what they held is published."""
    storage.remove(storage.join(output.uri, FOLDER))
