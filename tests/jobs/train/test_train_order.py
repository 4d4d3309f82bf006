"""The order of packs: complete epochs, disjoint processes, nothing but the step as state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.train.order import PackOrder


@st.composite
def orders(draw: st.DrawFn) -> PackOrder:
    world = draw(st.integers(1, 4))
    share = draw(st.integers(1, 3))
    packs = draw(st.integers(1, 40))
    return PackOrder(packs, share * world, world, draw(st.integers(0, 2**32)))


def whole_step(order: PackOrder, step: int) -> list[tuple[int, int]]:
    slots = [slot for rank in range(order.world) for slot in order.slots(step, rank)]
    return [(slot.epoch, slot.pack) for slot in slots]


@given(orders(), st.integers(1, 3))
def test_every_epoch_has_every_pack_once(order: PackOrder, epochs: int) -> None:
    steps = -(-order.packs * epochs // order.packs_per_step)
    read = [slot for step in range(steps) for slot in whole_step(order, step)]
    for epoch in range(epochs):
        assert sorted(p for e, p in read if e == epoch) == list(range(order.packs))


@given(orders(), st.integers(0, 50))
def test_processes_share_a_step_without_overlap(order: PackOrder, step: int) -> None:
    slots = whole_step(order, step)
    assert len(slots) == len(set(slots)) == order.packs_per_step


@given(orders(), st.integers(0, 50))
def test_a_step_holds_the_same_packs_for_any_number_of_processes(order: PackOrder, step: int) -> None:
    alone = PackOrder(order.packs, order.packs_per_step, 1, order.seed)
    assert whole_step(order, step) == whole_step(alone, step)


@given(orders(), st.integers(1, 20))
def test_a_step_does_not_depend_on_what_was_read_before(order: PackOrder, step: int) -> None:
    fresh = PackOrder(order.packs, order.packs_per_step, order.world, order.seed)
    assert [whole_step(order, s) for s in range(step + 1)][-1] == whole_step(fresh, step)


def test_seeds_and_epochs_differ() -> None:
    def epoch(order: PackOrder, number: int) -> list[int]:
        return [order.slots(number * 30 + i, 0)[0].pack for i in range(30)]

    first, other = PackOrder(30, 1, 1, 1), PackOrder(30, 1, 1, 2)
    assert epoch(first, 0) != epoch(first, 1)
    assert epoch(first, 0) != epoch(other, 0)


def test_a_step_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be shared"):
        PackOrder(packs=4, packs_per_step=3, world=2, seed=0)
