"""Rows of tokens: every document comes back as it was, and contradictory rows are refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infra.manifest import table_bytes
from jobs.schemas import (
    TOKENS_SCHEMA,
    DocumentTokens,
    SegmentTokens,
    from_row,
    read_provenance,
    read_schedules,
    to_row,
    with_metadata,
)
from model.scales import square, table14

texts = st.builds(
    SegmentTokens,
    kind=st.just("text"),
    loss=st.booleans(),
    ids=hnp.arrays(np.uint32, st.integers(0, 20)),
)


@st.composite
def images(draw: st.DrawFn) -> SegmentTokens:
    length = draw(st.integers(0, 40))
    codes = hnp.arrays(np.uint16, length)
    targets = draw(codes)
    inputs = np.where(draw(hnp.arrays(np.bool_, length)), draw(codes), targets)
    return SegmentTokens("image", draw(st.booleans()), np.empty(0, np.uint32), "s/8x8", targets, inputs)


documents = st.builds(
    DocumentTokens,
    sample_id=st.integers(0, 2**64 - 1),
    family=st.just("t2i"),
    segments=st.lists(st.one_of(texts, images()), max_size=6).map(tuple),
)


def same(one: DocumentTokens, other: DocumentTokens) -> bool:
    def plain(document: DocumentTokens) -> list[object]:
        return [
            (s.kind, s.loss, s.schedule, s.ids.tolist(), s.targets.tolist(), s.inputs.tolist())
            for s in document.segments
        ]

    return (one.sample_id, one.family, plain(one)) == (other.sample_id, other.family, plain(other))


@given(documents)
def test_a_document_survives_the_row_and_the_parquet_file(document: DocumentTokens) -> None:
    table = pa.Table.from_pylist([to_row(document, 7, 12)], schema=TOKENS_SCHEMA)
    back = pq.read_table(pa.BufferReader(table_bytes(table))).to_pylist()[0]
    assert same(from_row(back), document)
    assert (back["tokens"], back["pairs"]) == (7, 12)


@given(documents)
def test_codes_take_two_bytes_and_changes_little_more(document: DocumentTokens) -> None:
    row = to_row(document, 0, 0)
    codes = sum(len(s.targets) for s in document.segments)
    changes = sum(int((s.targets != s.inputs).sum()) for s in document.segments)
    assert len(row["targets"]) == 2 * codes
    assert len(row["changed"]) == -(-codes // 8)
    assert len(row["changed_values"]) == 2 * changes


IMAGE = SegmentTokens(
    "image",
    True,
    np.empty(0, np.uint32),
    "s",
    np.arange(9, dtype=np.uint16),
    np.arange(1, 10, dtype=np.uint16),
)
TEXT = SegmentTokens("text", True, np.arange(4, dtype=np.uint32))


@pytest.mark.parametrize("column", ["text_ids", "targets", "changed", "changed_values"])
def test_a_row_with_a_column_cut_short_is_refused(column: str) -> None:
    row = to_row(DocumentTokens(1, "t2i", (TEXT, IMAGE)), 0, 0)
    assert from_row(row).segments[1].inputs.tolist() == list(range(1, 10))
    cut = 4 if column == "text_ids" else 1 if column == "changed" else 2
    with pytest.raises(ValueError, match=r"fit|cover"):
        from_row(row | {column: row[column][:-cut]})


def test_one_change_is_not_spread_over_all_changed_positions() -> None:
    row = to_row(DocumentTokens(1, "t2i", (IMAGE,)), 0, 0)
    with pytest.raises(ValueError, match="do not fit"):
        from_row(row | {"changed_values": row["changed_values"][:2]})


def test_schedules_and_provenance_survive_the_schema() -> None:
    schedules = [square([1, 2, 4], 8), *table14(12)[:3]]
    schema = with_metadata(TOKENS_SCHEMA, schedules, {"tokenizer": "abc", "seed": 3})
    assert read_schedules(schema) == {s.name: s for s in schedules}
    assert read_provenance(schema) == {"tokenizer": "abc", "seed": 3}
