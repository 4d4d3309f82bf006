"""One curated unit into one Parquet file of tokens, by a worker that loads the tokenizer once."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import torch

from infra import storage
from infra.catalogue import count
from infra.document import Document, format_id
from infra.errors import UserError
from infra.manifest import FileEntry, Output, Receipt
from jobs.curated import Media, iter_unit
from jobs.extract.encode import Encoder, changed_by_scale
from jobs.images import DecodeError
from jobs.models import load_text, load_tokenizer, transformer_config
from jobs.schemas import TOKENS_SCHEMA, with_metadata
from jobs.specs import TokensSettings
from jobs.units import Unit
from model.scales import ScaleSchedule

GROUP_DOCUMENTS = 256
"""Documents in one Parquet row group."""


@dataclass(frozen=True)
class Plan:
    """What a worker needs to know; folders are outputs of the assets they are named after."""

    output: Output
    captioned: str
    tokenizer: str
    tokenizer_hash: str
    settings: TokensSettings
    seed: int

    def schedules(self) -> tuple[ScaleSchedule, ...]:
        """The schedules of the level."""
        return self.settings.level.schedules()

    def provenance(self) -> dict[str, Any]:
        """What made the rows, for the files' metadata."""
        return {
            "tokenizer": self.tokenizer_hash,
            "text_tokenizer": self.settings.model.text_tokenizer,
            "self_correction": self.settings.tokens.self_correction.model_dump(),
            "level": self.settings.level_name,
            "seed": self.seed,
        }


def load_encoder(plan: Plan) -> Encoder:
    """Load both tokenizers; the transformer is only described, to know what a document will cost."""
    tokenizer = load_tokenizer(plan.tokenizer)
    text = load_text(plan.settings.model.text_tokenizer)
    transformer = transformer_config(plan.settings.model, text, tokenizer.config)
    correction = plan.settings.tokens.self_correction
    level = plan.settings.level_name
    return Encoder(tokenizer, text, transformer, plan.schedules(), correction, level, plan.seed)


class Extractor:
    """A worker: built once, called with units, whose payload is a tar's entry in its manifest."""

    def __init__(self, plan: Plan) -> None:
        torch.set_num_threads(1)
        self._plan = plan
        self._encoder = load_encoder(plan)

    def __call__(self, unit: Unit[FileEntry]) -> Receipt:
        """Publish `data/<unit>.parquet`; documents that cannot be encoded go into the receipt."""
        rows: list[dict[str, Any]] = []
        rejected: list[dict[str, Any]] = []
        for document, media in _documents(self._plan.captioned, unit.payload):
            try:
                rows.append(self._encoder.row(document, media))
            except DecodeError as error:
                rejected.append(_rejection(document, error))
        entry = self._plan.output.publish_table(path_of(unit.name), self._table(rows), GROUP_DOCUMENTS)
        outcomes = [("kept", None)] * len(rows) + [("rejected", r["reason"]) for r in rejected]
        return Receipt(
            unit=unit.name,
            files=(entry,),
            counts=count(len(outcomes), outcomes),
            metadata={"rejected": rejected, **self._figures(rows)},
        )

    def _table(self, rows: list[dict[str, Any]]) -> pa.Table:
        used = _schedule_counts(rows)
        schedules = [s for s in self._plan.schedules() if s.name in used]
        schema = with_metadata(TOKENS_SCHEMA, schedules, self._plan.provenance())
        return pa.Table.from_pylist(sorted(rows, key=lambda row: int(row["sample_id"])), schema=schema)

    def _figures(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "tokens": sum(row["tokens"] for row in rows),
            "schedules": dict(sorted(_schedule_counts(rows).items())),
            "changed": changed_by_scale(rows, self._plan.schedules()),
        }


def path_of(unit: str) -> str:
    """Where the tokens of a unit are published."""
    return f"data/{unit}.parquet"


def unit_of(tar_path: str) -> str:
    """The name of the unit that a curated tar is."""
    return PurePosixPath(tar_path).stem


def _documents(folder: str, tar: FileEntry) -> Iterator[tuple[Document, Media]]:
    """The documents of a tar.

    Raises:
        UserError: it cannot be read to its end. A tar that is cut between members only looks shorter.
    """
    found, why = 0, ""
    try:
        for pair in iter_unit(folder, tar.path):
            found += 1
            yield pair
    except (tarfile.TarError, ValueError, EOFError) as error:
        why = f", {error}"
    if found != tar.rows:
        what = f"the shard is damaged: {found} of {tar.rows} documents{why}"
        raise UserError(what, storage.join(folder, tar.path), "Remove its folder and curate again")


def _rejection(document: Document, error: DecodeError) -> dict[str, Any]:
    return {"sample_id": format_id(document.sample_id), "reason": error.reason, "detail": error.detail}


def _schedule_counts(rows: list[dict[str, Any]]) -> Counter[str]:
    return Counter(s["schedule"] for row in rows for s in row["segments"] if s["kind"] == "image")
