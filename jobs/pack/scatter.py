"""First step: the columns of token files, cut into windows by shuffle key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from infra.manifest import Receipt
from jobs.pack.columns import FAMILIES
from jobs.pack.exchange import publish_chunks, to_chunks
from jobs.pack.inputs import TokenFile, read_documents
from jobs.pack.records import DOCUMENT, Records, join
from jobs.pack.steps import Context, receipt
from jobs.schemas import SCHEDULES_KEY, read_provenance
from jobs.units import Unit

UNIT_DOCUMENTS = 1 << 20
"""Documents in one unit, and so in memory."""


@dataclass(frozen=True)
class Scatter:
    """Token files to read."""

    context: Context
    files: tuple[TokenFile, ...]


def scatter(unit: Unit[Scatter]) -> Receipt:
    """Publish the documents of some files by window; the receipt has each family's tokens and pairs."""
    context = unit.payload.context
    found = [read_documents(file) for file in unit.payload.files]
    documents = join((records for records, _ in found), DOCUMENT)
    owner = context.window_of(documents["id"])
    publish_chunks(context.output, unit.name, to_chunks(documents, owner, context.windows))
    return receipt(unit.name, families=_sums(documents, context), **_origins([s for _, s in found]))


def _sums(documents: Records, context: Context) -> dict[str, dict[str, int]]:
    """Tokens and pairs of the documents that fit a pack. One far too long would outweigh all others."""
    family, tokens, pairs = (np.ascontiguousarray(documents[name]) for name in ("family", "tokens", "pairs"))
    fits = tokens <= context.max_tokens
    sums = {}
    for code, name in enumerate(FAMILIES):
        if (mine := fits & (family == code)).any():
            sums[name] = {"tokens": int((tokens * mine).sum()), "pairs": int((pairs * mine).sum())}
    return sums


def _origins(schemas: list[pa.Schema]) -> dict[str, Any]:
    """The schedules that rows use, and the tokenizers that made them; texts have none."""
    schedules = {schema.metadata[SCHEDULES_KEY].decode() for schema in schemas}
    tokenizers = {read_provenance(schema).get("tokenizer") for schema in schemas} - {None}
    return {"schedules": sorted(schedules), "tokenizers": sorted(tokenizers)}
