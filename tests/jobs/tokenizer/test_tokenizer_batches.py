"""Which pictures are held out, and the order of the others."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from jobs.tokenizer.batches import BatchOrder, hold_out

ids = st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=400, unique=True)


@given(ids)
def test_the_split_loses_and_doubles_nothing(sample_ids: list[int]) -> None:
    training, held_out = hold_out(sample_ids)
    assert sorted(training + held_out) == list(range(len(sample_ids)))
    assert len(training) >= len(held_out) >= min(16, len(sample_ids) // 2)


@given(ids)
def test_the_split_does_not_depend_on_the_order(sample_ids: list[int]) -> None:
    _, held_out = hold_out(sample_ids)
    shuffled = sample_ids[::-1]
    _, again = hold_out(shuffled)
    assert {sample_ids[i] for i in held_out} == {shuffled[i] for i in again}


def test_two_percent_are_held_out_within_bounds() -> None:
    assert [len(hold_out(range(n))[1]) for n in (10, 100, 5000, 100_000)] == [5, 16, 100, 256]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 8), st.integers(0, 99))
def test_an_epoch_has_every_picture_and_batches_of_one_bucket(
    sizes: list[int], batch_size: int, seed: int
) -> None:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    buckets = tuple(tuple(range(a, a + n)) for a, n in zip(starts, sizes, strict=True))
    order = BatchOrder(buckets, batch_size, seed)
    steps = sum(-(-n // batch_size) for n in sizes)
    batches = [order.numbers(step) for step in range(steps)]
    assert all(len(batch) == batch_size for batch in batches)
    assert all(any(set(batch) <= set(bucket) for bucket in buckets) for batch in batches)
    seen = Counter(number for batch in batches for number in batch)
    assert seen.keys() == set(range(sum(sizes)))
    fresh = BatchOrder(buckets, batch_size, seed)
    assert fresh.numbers(steps - 1) == batches[-1]


def test_epochs_and_seeds_differ() -> None:
    bucket = tuple(range(40))
    order = BatchOrder((bucket,), 4, 1)
    first, second = ([order.numbers(e * 10 + s) for s in range(10)] for e in range(2))
    assert first != second
    assert first != [BatchOrder((bucket,), 4, 2).numbers(s) for s in range(10)]
