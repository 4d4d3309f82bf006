"""Moving rows: each as often as it is packed, to the bucket of its pack, a bounded number at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.manifest import Output
from jobs.pack.exchange import publish_chunks, read_chunks
from jobs.pack.inputs import TokenFile
from jobs.pack.records import PLACE, Cost
from jobs.pack.split import FIRST_PACKS, Split, decode_rows, split
from jobs.pack.steps import Context
from jobs.schemas import TOKENS_SCHEMA, with_metadata
from jobs.units import Unit

ROWS, ROW_BYTES = 60, 50_000


@pytest.fixture
def token_file(tmp_path: Path) -> TokenFile:
    """Rows of a random payload that their number decides."""
    rows = [
        {"sample_id": row, "family": "edit", "segments": [], "targets": payload(row), "tokens": 1, "pairs": 1}
        | dict.fromkeys(("text_ids", "changed", "changed_values"), b"")
        for row in range(ROWS)
    ]
    table = pa.Table.from_pylist(rows, schema=with_metadata(TOKENS_SCHEMA, [], {}))
    entry = Output(str(tmp_path)).publish_table("data/unit-0.parquet", table)
    return TokenFile(str(tmp_path / entry.path), "label", ROWS, entry.bytes)


def payload(row: int) -> bytes:
    return np.random.default_rng(row).bytes(ROW_BYTES)


def moved(
    token_file: TokenFile, folder: Path, repeats: int, buckets: int
) -> tuple[list[pa.RecordBatch], int]:
    """The rows of every bucket when each is packed so often, at random; the most bytes that Arrow held."""
    places = np.zeros(ROWS * repeats, PLACE)
    places["row"], places["repeat"] = np.divmod(np.arange(len(places)), repeats)
    places["pack"] = np.random.default_rng(repeats).integers(0, buckets, len(places))
    places["place"] = np.arange(len(places))
    output = Output(str(folder))
    publish_chunks(output, "assign-00000", [places.tobytes(), *[b""] * 5])
    publish_chunks(output, FIRST_PACKS, [np.array([0, buckets], "<i8").tobytes()])
    context = Context(output, seed=0, max_tokens=64, cost=Cost(1.0, 0.0), windows=1, scatters=1, splits=1)
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool := pa.proxy_memory_pool(before))
    try:
        split(Unit("split-00000", Split(context, 0, (token_file,), bucket_packs=1, buckets=buckets)))
    finally:
        pa.set_memory_pool(before)
    chunks = (read_chunks(output, "split-00000", n, n + 1, buckets) for n in range(buckets))
    return [decode_rows(chunk) for chunk in chunks if chunk], pool.max_memory()


@pytest.mark.parametrize("buckets", [1, 7, 300])
def test_every_time_that_a_row_is_packed_it_comes_to_its_bucket(
    token_file: TokenFile, tmp_path: Path, buckets: int
) -> None:
    batches, _ = moved(token_file, tmp_path / "out", 3, buckets)
    assert all(len(set(batch["pack"].to_pylist())) == 1 for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert sorted((r["sample_id"], r["repeat"]) for r in rows) == [
        (i, n) for i in range(ROWS) for n in range(3)
    ]
    assert all(row["targets"] == payload(row["sample_id"]) for row in rows)


def test_repeated_rows_are_not_taken_all_at_once(token_file: TokenFile, tmp_path: Path) -> None:
    _, once = moved(token_file, tmp_path / "once", 1, 40)
    _, often = moved(token_file, tmp_path / "often", 12, 480)
    assert once > ROWS * ROW_BYTES
    assert often < 1.3 * once
