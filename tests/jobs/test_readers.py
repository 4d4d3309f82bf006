"""Readers: any item by number, reading goes on from one integer, other formats are refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from infra.manifest import Output
from jobs.readers import DocumentReader, PackReader, Reader, read_on
from jobs.schemas import (
    FORMAT,
    FORMAT_KEY,
    PACKS_SCHEMA,
    TOKENS_SCHEMA,
    DocumentTokens,
    SegmentTokens,
    to_row,
    with_metadata,
)
from model.scales import square
from tests.jobs.support import commit

SCHEDULE = square([1, 2], 8)
IDS = [[3, 1, 4], [], [1 << 63, 5]]
"""Sample ids by file."""


def row(sample_id: int) -> dict[str, object]:
    ids = np.arange(sample_id % 5 + 1, dtype=np.uint32)
    return to_row(DocumentTokens(sample_id, "text", (SegmentTokens("text", True, ids),)), len(ids), 1)


def publish(folder: Path, key: str, rows: list[list[dict[str, object]]], schema: pa.Schema) -> str:
    output = Output(str(folder))
    name = "packs" if key.startswith("packs") else "unit"
    files = [
        output.publish_table(f"data/{name}-{n:05d}.parquet", pa.Table.from_pylist(r, schema=schema), 2)
        for n, r in enumerate(rows)
    ]
    files.append(output.publish_table("data/catalogue.parquet", pa.table({"x": [1]})))
    return commit(folder, key, files)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    schema = with_metadata(TOKENS_SCHEMA, [SCHEDULE], {})
    rows = [[row(i) for i in ids] for ids in IDS]
    return publish(tmp_path_factory.mktemp("tokens"), "tokens/text", rows, schema)


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> str:
    schema = with_metadata(PACKS_SCHEMA, [SCHEDULE], {})
    rows = [
        [
            {
                "pack": 0,
                "documents": [row(3) | {"repeat": 0}, row(1) | {"repeat": 1}],
                "tokens": 6,
                "cost": 1.0,
            }
        ],
        [{"pack": 1, "documents": [row(4) | {"repeat": 0}], "tokens": 5, "cost": 1.0}],
    ]
    return publish(tmp_path_factory.mktemp("packs"), "packs/first", rows, schema)


def test_documents_come_by_number_over_all_files_and_folders(tokens: str) -> None:
    reader = DocumentReader([tokens, tokens])
    assert [reader[n].sample_id for n in range(len(reader))] == 2 * [3, 1, 4, 1 << 63, 5]
    assert reader[1].segments[0].ids.tolist() == [0, 1]
    assert reader.schedules() == {SCHEDULE.name: SCHEDULE}


def test_packs_know_how_often_they_hold_a_document(packs: str) -> None:
    found = [[(d.sample_id, d.repeat) for d in documents] for _, documents in read_on(PackReader([packs]))]
    assert found == [[(3, 0), (1, 1)], [(4, 0)]]


@given(st.integers(0, 5))
def test_reading_goes_on_from_its_state(tokens: str, stop: int) -> None:
    reader: Reader[DocumentTokens] = DocumentReader([tokens])
    state, seen = 0, []
    for state, document in read_on(reader):
        seen.append(document.sample_id)
        if state >= stop:
            break
    seen += [document.sample_id for _, document in read_on(reader, state)]
    assert seen == [i for ids in IDS for i in ids]


@pytest.mark.parametrize("number", [-1, 5])
def test_there_is_nothing_before_the_first_and_behind_the_last(tokens: str, number: int) -> None:
    with pytest.raises(IndexError, match=f"{number} of 5"):
        DocumentReader([tokens])[number]


@pytest.mark.parametrize("version", [None, "1", str(FORMAT + 1)])
def test_files_of_another_format_say_how_to_have_this_one(tmp_path: Path, version: str | None) -> None:
    schema = with_metadata(TOKENS_SCHEMA, [SCHEDULE], {})
    metadata = {k: v for k, v in schema.metadata.items() if k != FORMAT_KEY}
    if version is not None:
        metadata[FORMAT_KEY] = version.encode()
    folder = publish(tmp_path, "tokens/text", [[row(1)]], schema.with_metadata(metadata))
    found = f"format {version or 1} of tokens and packs, this software reads {FORMAT}.*made anew"
    with pytest.raises(UserError, match=found):
        DocumentReader([folder])[0]


def test_a_row_whose_columns_contradict_each_other_is_one_line(tmp_path: Path) -> None:
    damaged = row(9) | {"text_ids": b""}
    folder = publish(tmp_path, "tokens/text", [[damaged]], with_metadata(TOKENS_SCHEMA, [], {}))
    with pytest.raises(UserError, match="document 0 is damaged"):
        DocumentReader([folder])[0]


def cut(file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])


def with_fewer_rows(file: Path) -> None:
    pq.write_table(pq.ParquetFile(file).read().slice(0, 1), file)


def without_a_column(file: Path) -> None:
    pq.write_table(pq.ParquetFile(file).read().drop_columns(["segments"]), file)


@pytest.mark.parametrize("damage", [cut, with_fewer_rows, without_a_column])
def test_a_file_that_is_not_what_was_written_is_one_line(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = publish(tmp_path, "tokens/text", [[row(9), row(8)]], with_metadata(TOKENS_SCHEMA, [], {}))
    damage(tmp_path / "data/unit-00000.parquet")
    with pytest.raises(UserError, match=r"unit-00000\.parquet: document 1 is damaged"):
        DocumentReader([folder])[1]


def test_schedules_of_a_damaged_file_are_one_line(tmp_path: Path) -> None:
    folder = publish(tmp_path, "tokens/text", [[row(9)]], with_metadata(TOKENS_SCHEMA, [], {}))
    cut(tmp_path / "data/unit-00000.parquet")
    with pytest.raises(UserError, match=r"unit-00000\.parquet: the file is damaged"):
        DocumentReader([folder]).schedules()


def test_a_reader_opens_only_the_row_groups_it_needs(tokens: str) -> None:
    """Row groups of two rows: what is behind a damaged one can be read, what is in it cannot."""
    file = Path(tokens) / "data" / "unit-00000.parquet"
    data = file.read_bytes()
    start = pq.read_metadata(file).row_group(0).column(0).dictionary_page_offset
    try:
        file.write_bytes(data[:start] + b"\xff" * 30 + data[start + 30 :])
        assert DocumentReader([tokens])[2].sample_id == 4
        with pytest.raises(UserError, match="document 0 is damaged"):
            DocumentReader([tokens])[0]
    finally:
        file.write_bytes(data)
