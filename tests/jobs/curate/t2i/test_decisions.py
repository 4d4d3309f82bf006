import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.stage import count_rows
from jobs.curate.t2i.decisions import decide
from jobs.curate.t2i.records import SCORES_SCHEMA
from jobs.recipe import Duplicates, Filters

GOOD = {
    "sample_id": 1,
    "source": "a#1",
    "sha256": "00",
    "width": 100,
    "height": 100,
    "entropy": 5.0,
    "sharpness": 50.0,
    "border": 0.0,
    "frame": 0.0,
    "perceptual_hash": 0,
    "colours": bytes(192),
}


def decided(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return list(decide(pa.Table.from_pylist(rows, schema=SCORES_SCHEMA), Filters(), Duplicates()).to_pylist())


def reason(**scores: object) -> object:
    return decided([GOOD | scores])[0]["reason"]


def test_limits_are_inclusive() -> None:
    assert reason() is None
    assert (reason(width=64), reason(width=63)) == (None, "small")
    assert (reason(width=400), reason(width=401)) == (None, "aspect")
    assert (reason(entropy=1.0), reason(entropy=0.99)) == (None, "solid")
    assert (reason(sharpness=5.0), reason(sharpness=4.9)) == (None, "blurred")
    assert (reason(border=0.4), reason(border=0.41)) == (None, "border")
    assert (reason(frame=0.05), reason(frame=0.06)) == (None, "frame")


def test_the_first_reason_wins() -> None:
    assert reason(width=10, entropy=0.0, border=1.0) == "small"
    assert reason(entropy=0.0, sharpness=0.0, border=1.0) == "solid"
    assert reason(border=1.0, frame=1.0) == "border"


def test_a_rejected_picture_never_stands_for_a_kept_one() -> None:
    rows = [GOOD | {"width": 10}, GOOD | {"source": "a#2", "sample_id": 3}]
    assert [row["reason"] for row in decided(rows)] == ["small", None]


def test_details_say_value_and_limit() -> None:
    assert decided([GOOD | {"width": 10}])[0]["detail"] == "10, the limit is 64"


RECORDS = st.fixed_dictionaries(
    {
        "width": st.integers(1, 300),
        "height": st.integers(1, 300),
        "entropy": st.floats(0, 8),
        "sharpness": st.floats(0, 100),
        "border": st.floats(0, 1),
        "frame": st.floats(0, 0.2),
        "perceptual_hash": st.sampled_from([0, 1, 3, 2**64 - 1]),
        "sha256": st.sampled_from(["00", "11", "22"]),
    }
).map(lambda scores: GOOD | scores)


@given(st.lists(RECORDS, max_size=20))
def test_every_record_is_kept_or_rejected_for_a_reason(records: list[dict[str, object]]) -> None:
    rows = [record | {"source": f"a#{n:03d}", "sample_id": n} for n, record in enumerate(records)]
    table = decide(pa.Table.from_pylist(rows, schema=SCORES_SCHEMA), Filters(), Duplicates())
    counts = count_rows(table)
    assert counts.total == len(rows)
    kept = {row["sample_id"] for row in table.to_pylist() if row["status"] == "kept"}
    firsts = {row["duplicate_of"] for row in table.to_pylist() if row["duplicate_of"] is not None}
    assert counts.kept == len(kept)
    assert firsts <= kept
