"""Conservation: in = kept + rejected(reason) + errored, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.catalogue import count

outcome = st.one_of(
    st.just(("kept", None)),
    st.just(("errored", "timeout")),
    st.tuples(st.just("rejected"), st.sampled_from(["small", "blurred"])),
)
outcomes = st.lists(outcome, max_size=30)


@given(outcomes)
def test_counting_conserves_every_record(rows: list[tuple[str, str | None]]) -> None:
    counts = count(len(rows), rows)
    assert counts.kept + sum(counts.rejected.values()) + counts.errored == len(rows)


@given(outcomes, outcomes)
def test_sums_of_counts_count_the_union(
    a: list[tuple[str, str | None]], b: list[tuple[str, str | None]]
) -> None:
    assert count(len(a), a) + count(len(b), b) == count(len(a) + len(b), a + b)


@given(outcomes, st.integers(1, 3))
def test_a_lost_record_is_an_error(rows: list[tuple[str, str | None]], lost: int) -> None:
    with pytest.raises(ValidationError, match="lost or doubled"):
        count(len(rows) + lost, rows)


@pytest.mark.parametrize("row", [("rejected", None), ("rejected", ""), ("gone", "x")])
def test_an_outcome_without_a_reason_or_of_unknown_status_is_an_error(row: tuple[str, str | None]) -> None:
    with pytest.raises(ValueError, match="status"):
        count(1, [row])
