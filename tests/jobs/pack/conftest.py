"""Token folders as extraction publishes them, with small random documents."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from support import publish_tokenizer

from infra.catalogue import Counts
from infra.manifest import Manifest, Output
from jobs.schemas import TOKENS_SCHEMA, DocumentTokens, SegmentTokens, to_row, with_metadata
from model.scales import square

SCHEDULE = square([1, 2], 8)
WriteTokens = Callable[..., str]


LONG = range(1 << 40, (1 << 40) + 100)
"""Ids of documents with a long text."""


def document(sample_id: int, family: str) -> tuple[DocumentTokens, int]:
    """A document that its id decides, and its number of positions; texts have no picture."""
    rng = np.random.default_rng(sample_id)
    length = rng.integers(1, 40) + (200 if sample_id in LONG else 0)
    ids = rng.integers(0, 1000, length).astype(np.uint32)
    text = SegmentTokens("text", True, ids)
    if family == "text":
        return DocumentTokens(sample_id, family, (text,)), len(ids)
    targets = rng.integers(0, 64, SCHEDULE.tokens).astype(np.uint16)
    inputs = rng.integers(0, 64, SCHEDULE.tokens).astype(np.uint16)
    image = SegmentTokens("image", True, np.empty(0, np.uint32), SCHEDULE.name, targets, inputs)
    return DocumentTokens(sample_id, family, (text, image)), len(ids) + SCHEDULE.tokens + 1


def pairs_of(tokens: int) -> int:
    """What the fixture writes as a document's pairs."""
    return tokens * (tokens + 1) // 2


@pytest.fixture
def tokenizer(tmp_path: Path) -> str:
    """A finished `tokenizer/joint`."""
    return publish_tokenizer(tmp_path / "tokenizer")


@pytest.fixture
def write_tokens(tmp_path: Path) -> WriteTokens:
    """`write(partition, ids per file, family, tokenizer)` -> the folder of a finished extraction."""

    def write(
        partition: str, files: Sequence[Sequence[int]], family: str = "t2i", tokenizer: str | None = "t"
    ) -> str:
        output = Output(str(tmp_path / "tokens" / family / partition))
        schema = with_metadata(TOKENS_SCHEMA, [SCHEDULE], {"tokenizer": tokenizer})
        entries = []
        sums = {"documents": 0, "tokens": 0, "pairs": 0}
        for number, ids in enumerate(files):
            made = [document(i, family) for i in ids]
            rows = [to_row(d, tokens, pairs_of(tokens)) for d, tokens in made]
            table = pa.Table.from_pylist(rows, schema=schema)
            entries.append(output.publish_table(f"data/unit-{number}.parquet", table))
            sums["documents"] += len(rows)
            sums["tokens"] += sum(row["tokens"] for row in rows)
            sums["pairs"] += sum(row["pairs"] for row in rows)
        entries.append(output.publish_table("data/catalogue.parquet", pa.table({"x": [1]})))
        total = sum(map(len, files))
        output.commit(
            Manifest(
                asset=f"tokens/{family}",
                partition=partition,
                fingerprint="f",
                files=tuple(entries),
                counts=Counts(total=total, kept=total),
                metadata={"families": {family: sums}},
            )
        )
        return output.uri

    return write
