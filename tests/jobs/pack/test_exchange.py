"""Files of chunks: what is written to a chunk is read from it, and damage is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.errors import UserError
from infra.manifest import Output
from jobs.pack.exchange import publish_chunks, read_chunks, read_records, to_chunks
from jobs.pack.records import PLACE


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=12), st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_run_of_chunks_is_read_as_it_was_written(
    tmp_path: Path, chunks: list[bytes], data: st.DataObject
) -> None:
    output = Output(str(tmp_path))
    publish_chunks(output, "one", chunks)
    first = data.draw(st.integers(0, len(chunks)))
    last = data.draw(st.integers(first, len(chunks)))
    assert read_chunks(output, "one", first, last, len(chunks)) == b"".join(chunks[first:last])


@pytest.mark.parametrize("count", [7, 1 << 17])
def test_records_come_to_their_owner_in_order(tmp_path: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    records = np.zeros(500, PLACE)
    records["row"] = np.arange(500)
    owner = rng.integers(0, 7, 500)
    output = Output(str(tmp_path))
    publish_chunks(output, "one", to_chunks(records, owner, count))
    for number in range(7):
        (mine,) = read_records(output, ["one"], number, count, PLACE)
        assert mine["row"].tolist() == np.flatnonzero(owner == number).tolist()


@pytest.mark.parametrize("keep", [0, 12, 30, 50])
def test_a_file_that_is_cut_short_is_told(tmp_path: Path, keep: int) -> None:
    output = Output(str(tmp_path))
    publish_chunks(output, "one", [b"a" * 24, b"b" * 24])
    path = tmp_path / "work/one"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="damaged"):
        read_chunks(output, "one", 1, 2, 2)


def test_part_of_a_record_is_told(tmp_path: Path) -> None:
    output = Output(str(tmp_path))
    publish_chunks(output, "one", [b"a" * (PLACE.itemsize + 1)])
    with pytest.raises(UserError, match="damaged"):
        list(read_records(output, ["one"], 0, 1, PLACE))
