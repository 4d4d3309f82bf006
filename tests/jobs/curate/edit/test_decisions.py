from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.edit.decisions import decide
from jobs.curate.stage import count_rows
from jobs.recipe.curation.edit import EditFilters

GOOD: dict[str, Any] = {
    "sample_id": 1,
    "source": "a#0",
    "instruction": "Add a hat.",
    "width": [100, 100],
    "height": [80, 80],
    "compared": 0,
    "changed": 0.1,
}


def reasons(rows: list[dict[str, Any]], **filters: Any) -> list[str | None]:
    table = decide(pa.Table.from_pylist(rows), EditFilters(**filters))
    found: list[str | None] = table["reason"].to_pylist()
    assert [reason is None for reason in found] == [s == "kept" for s in table["status"].to_pylist()]
    assert all(detail for reason, detail in zip(found, table["detail"].to_pylist(), strict=True) if reason)
    return found


def reason(filters: dict[str, Any] | None = None, **scores: Any) -> str | None:
    return reasons([GOOD | scores], **(filters or {}))[0]


def test_limits_are_inclusive() -> None:
    assert reason() is None
    assert (reason(instruction="abc"), reason(instruction="ab")) == (None, "no_instruction")
    assert (reason({"max_characters": 10}), reason({"max_characters": 9})) == (None, "instruction_long")
    assert (reason({"min_side": 80}), reason({"min_side": 81})) == (None, "small")
    assert (reason({"min_changed": 0.1}), reason({"min_changed": 0.11})) == (None, "unchanged")


@pytest.mark.parametrize(
    ("filters", "after", "expected"),
    [
        ({}, (100, 80), None),
        ({}, (101, 80), "size_mismatch"),
        ({}, (200, 160), "size_mismatch"),
        ({"max_size_difference": 1.0}, (200, 160), None),
        ({"max_size_difference": 0.99}, (200, 160), "size_mismatch"),
        ({"max_size_difference": None}, (400, 320), None),
        ({"max_size_difference": None}, (400, 324), "size_mismatch"),
        ({"max_size_difference": None}, (324, 400), "size_mismatch"),
        ({"max_size_difference": None, "max_aspect_difference": 0.02}, (400, 324), None),
    ],
)
def test_sizes_must_match(filters: dict[str, Any], after: tuple[int, int], expected: str | None) -> None:
    assert reason(filters, width=[100, after[0]], height=[80, after[1]]) == expected


def test_the_picture_that_was_edited_is_compared() -> None:
    pictures: dict[str, Any] = {"width": [64, 100, 100], "height": [64, 80, 80]}
    assert reason(**pictures, compared=1) is None
    assert reason(**pictures, compared=0) == "size_mismatch"


def test_the_first_reason_wins() -> None:
    assert reason(instruction="", width=[10, 20], changed=0.0) == "no_instruction"
    assert reason(width=[10, 20], changed=0.0) == "small"
    assert reason(width=[100, 120], changed=0.0) == "size_mismatch"


def test_a_repeated_edit_stays_once_and_no_rejected_one_stands_for_it() -> None:
    rows = [
        GOOD | {"source": "a#0", "changed": 0.0},
        GOOD | {"source": "a#1"},
        GOOD | {"source": "a#2"},
        GOOD | {"source": "a#3", "sample_id": 2},
    ]
    assert reasons(rows) == ["unchanged", None, "exact_duplicate", None]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "sample_id": st.integers(0, 3),
                "instruction": st.sampled_from(["", "Add a hat."]),
                "width": st.lists(st.integers(50, 120), min_size=2, max_size=2),
                "changed": st.floats(0, 1),
            }
        ),
        min_size=1,
        max_size=12,
    )
)
def test_every_edit_is_kept_once_or_rejected_for_a_reason(scores: list[dict[str, Any]]) -> None:
    rows = [GOOD | one | {"source": f"a#{n:03d}"} for n, one in enumerate(scores)]
    table = decide(pa.Table.from_pylist(rows), EditFilters())
    kept = table.filter(pa.compute.equal(table["status"], "kept"))["sample_id"].to_pylist()
    assert len(set(kept)) == len(kept) == count_rows(table).kept
