import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UserError
from jobs.curate.parts import Part, plan_units
from jobs.curate.t2i.documents import read_originals
from jobs.recipe import FolderSource
from jobs.sources.discover import list_shards
from jobs.sources.shards import Shard

SHARDS = [Shard("000000", ()), Shard("000001", ())]


@given(st.lists(st.tuples(st.sampled_from(["000000", "000001"]), st.integers(1, 50))), st.integers(1, 100))
def test_units_hold_every_row_once_and_few_bytes(records: list[tuple[str, int]], limit: int) -> None:
    rows = [{"shard": s, "source": f"{s}#{n:03d}", "bytes": size} for n, (s, size) in enumerate(records)]
    units = plan_units(rows, SHARDS, limit)
    planned = [row for unit in units for row in unit.payload.rows]
    assert planned == sorted(rows, key=lambda row: str(row["source"]))
    assert len({unit.name for unit in units}) == len(units)
    for unit in units:
        assert unit.size == len(unit.payload.rows)
        assert unit.size == 1 or sum(row["bytes"] for row in unit.payload.rows) <= limit
        assert {row["shard"] for row in unit.payload.rows} == {unit.payload.shard.name}


def test_names_of_the_parts_of_a_shard() -> None:
    rows = [{"shard": "000001", "source": str(n), "bytes": 6} for n in range(3)]
    assert [unit.name for unit in plan_units(rows, SHARDS, 10)] == ["000001", "000001-001", "000001-002"]


def listed(folder: Path) -> tuple[FolderSource, Part]:
    """A folder of two files, and the part that has them."""
    rows = []
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(name.encode())
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        rows.append({"source": f"{folder}#{name}", "bytes": 5, "sha256": sha256})
    source = FolderSource(uri=str(folder))
    (shard,) = list_shards("t2i", source)
    return source, Part(shard, tuple(rows))


def test_originals_come_with_their_rows(tmp_path: Path) -> None:
    source, part = listed(tmp_path)
    found = [(row["source"].rpartition("#")[2], data) for row, data in read_originals(part, source)]
    assert found == [("a.png", b"a.png"), ("b.png", b"b.png")]


@pytest.mark.parametrize("content", [b"other", b"longer than before"])
def test_originals_that_changed_are_one_line(tmp_path: Path, content: bytes) -> None:
    source, part = listed(tmp_path)
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(UserError, match=r"#b.png: this picture changed after it was measured"):
        list(read_originals(part, source))


def test_originals_that_are_gone_are_one_line(tmp_path: Path) -> None:
    source, part = listed(tmp_path)
    missing = Part(part.shard, (*part.rows, part.rows[0] | {"source": f"{tmp_path}#c.png"}))
    with pytest.raises(UserError, match=r"#c.png: this picture changed"):
        list(read_originals(missing, source))
