"""Orders are those of numpy's stable sort, whatever the numbers have in common."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pack.sorting import order_of, order_of_keys, order_of_numbers

# Keys that differ in their last bits only, which is where sorting has to look twice.
KEYS = st.integers(0, 2**64 - 1) | st.integers(2**60, 2**60 + 3) | st.integers(0, 2)
NUMBERS = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-52, -1.0, -1.0 - 2**-52])


@pytest.mark.parametrize("count", [7, 1 << 16, 1 << 17])
@given(st.lists(st.integers(0, 6), max_size=60))
def test_small_numbers(count: int, owner: list[int]) -> None:
    numbers = np.array(owner, np.int64)
    assert order_of(numbers, count).tolist() == np.argsort(numbers, kind="stable").tolist()


@given(st.lists(KEYS, max_size=60))
def test_keys(keys: list[int]) -> None:
    numbers = np.array(keys, np.uint64)
    assert order_of_keys(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()


@given(st.lists(NUMBERS, max_size=60))
def test_floating_point_numbers(values: list[float]) -> None:
    numbers = np.array(values, np.float64)
    assert order_of_numbers(numbers).tolist() == np.argsort(numbers, kind="stable").tolist()


def test_many_keys_in_any_order() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**64, 300_000, np.uint64)
    keys[::3] = keys[0]
    assert np.array_equal(order_of_keys(keys), np.argsort(keys, kind="stable"))
