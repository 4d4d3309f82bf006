from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.t2i.documents import plan_units
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
