"""Batches of pictures: no caption twice, nothing but captions, size and seed decides."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.semantic.batches import batches

CAPTIONS = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=40)


@given(CAPTIONS, st.integers(2, 8), st.integers(0, 3))
def test_no_caption_stands_in_a_batch_twice(captions: list[str], size: int, seed: int) -> None:
    size = min(size, len(set(captions)))
    for batch in islice(batches(captions, size, seed), 12):
        assert len(batch) == len({captions[number] for number in batch}) == size


@given(CAPTIONS, st.integers(0, 3), st.integers(0, 8))
def test_the_batch_of_a_step_is_always_the_same(captions: list[str], seed: int, step: int) -> None:
    size = len(set(captions))
    whole = list(islice(batches(captions, size, seed), 9))
    assert next(islice(batches(captions, size, seed), step, None)) == whole[step]


@given(st.integers(4, 40), st.integers(2, 4))
def test_an_epoch_shows_every_picture_once(pictures: int, size: int) -> None:
    captions = [str(number) for number in range(pictures)]
    epoch = [number for batch in islice(batches(captions, size, 0), pictures // size) for number in batch]
    assert len(set(epoch)) == len(epoch) == pictures // size * size


def test_epochs_and_seeds_differ() -> None:
    captions = [str(number) for number in range(64)]
    first, second = islice(batches(captions, 64, 0), 2)
    assert first != second
    assert first != next(batches(captions, 64, 1))


def test_a_picture_whose_caption_is_taken_waits_for_the_next_batch() -> None:
    captions = ["a", "a", "a", "b", "b", "b"]
    epoch = list(islice(batches(captions, 2, 0), 3))
    assert sorted(number for batch in epoch for number in batch) == list(range(6))


def test_too_few_captions_are_named() -> None:
    with pytest.raises(ValueError, match="1 different captions do not fill a batch of 2"):
        next(batches(["a", "a"], 2, 0))
