"""Packers: every document in one pack, no limit exceeded, and each as good as a plain reference."""

from __future__ import annotations

import heapq
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pack.columns import Columns, Ints, shuffle_keys
from jobs.pack.packers import PACKERS, PADDING, Limits, lower_bound, padded

LIMITS = Limits(64, 80.0)


def columns(tokens: list[int], cost: list[float]) -> Columns:
    n = len(tokens)
    ids = np.arange(n).astype(np.uint64)
    return Columns(ids, np.zeros(n, np.int64), np.array(tokens, np.int64), np.array(cost, np.float64))


@st.composite
def some_documents(draw: st.DrawFn) -> Columns:
    tokens = draw(st.lists(st.integers(1, LIMITS.tokens), max_size=120))
    cost = [min(LIMITS.cost, t * draw(st.floats(0.2, 2.0))) for t in tokens]
    return columns(tokens, cost)


def heavy(count: int, seed: int) -> Columns:
    """Documents as unequal as those of a training: many short, some of a fifth of a pack."""
    rng = np.random.default_rng(seed)
    tokens = np.where(rng.random(count) < 0.3, rng.integers(8, 14, count), rng.integers(1, 5, count))
    return columns(tokens.tolist(), (tokens * 1.0 + tokens**2 * 0.02).tolist())


def violations(documents: Columns, pack: Ints, limits: Limits, packer: str) -> list[str]:
    """Everything that a packer must never do, in words."""
    if len(pack) != len(documents):
        return ["a document is in no pack"]
    found = []
    if np.unique(pack).tolist() != list(range(pack.max(initial=-1) + 1)):
        found.append("packs are not numbered from 0 without gaps")
    tokens = np.bincount(pack, documents.tokens)
    cost = np.bincount(pack, documents.cost)
    if packer in PADDING:
        tokens = padded(documents.tokens.astype(np.float64), pack)
    if len(pack) and tokens.max() > limits.tokens:
        found.append("a pack exceeds the token cap")
    if packer in ("balanced", "fixed_budget") and len(pack) and cost.max() > limits.cost * (1 + 1e-9):
        found.append("a pack exceeds the compute budget")
    return found


@pytest.mark.parametrize("packer", PACKERS)
@given(some_documents())
def test_every_document_is_in_a_pack_within_the_limits(packer: str, documents: Columns) -> None:
    pack = PACKERS[packer](documents, LIMITS)
    assert not violations(documents, pack, LIMITS, packer)
    assert (PACKERS[packer](documents, LIMITS) == pack).all()


def test_the_check_sees_a_lost_document_and_crowded_packs() -> None:
    documents = columns([40, 40, 40], [10.0, 10.0, 75.0])
    for packer in PACKERS:
        right = PACKERS[packer](documents, LIMITS)
        assert not violations(documents, right, LIMITS, packer)
        assert violations(documents, right[:-1], LIMITS, packer)
        assert violations(documents, np.zeros(3, np.int64), LIMITS, packer)
    assert violations(columns([1, 1], [50.0, 50.0]), np.zeros(2, np.int64), LIMITS, "balanced")


@pytest.mark.parametrize("packer", PACKERS)
def test_a_document_that_no_pack_holds_is_refused(packer: str) -> None:
    with pytest.raises(ValueError, match="exceeds the limits"):
        PACKERS[packer](columns([3, 65], [1.0, 1.0]), LIMITS)
    if packer in ("balanced", "fixed_budget"):
        with pytest.raises(ValueError, match="document 1 alone"):
            PACKERS[packer](columns([3, 3], [1.0, 81.0]), LIMITS)


def plain_next_fit(documents: Columns, limits: Limits, by_cost: bool) -> list[int]:
    """The textbook's loop."""
    pack, number, tokens, cost = [], 0, 0, 0.0
    for t, c in zip(documents.tokens.tolist(), documents.cost.tolist(), strict=True):
        if tokens + t > limits.tokens or (by_cost and cost + c > limits.cost):
            number, tokens, cost = number + 1, 0, 0.0
        tokens, cost = tokens + t, cost + c
        pack.append(number)
    return pack


@given(some_documents())
def test_fixed_length_and_fixed_budget_are_next_fit(documents: Columns) -> None:
    whole = Columns(documents.ids, documents.family, documents.tokens, np.floor(documents.cost))
    for packer, by_cost in (("fixed_length", False), ("fixed_budget", True)):
        assert PACKERS[packer](whole, LIMITS).tolist() == plain_next_fit(whole, LIMITS, by_cost)


@pytest.mark.parametrize("packer", ["balanced", "fixed_budget"])
@given(st.floats(1, 79), st.floats(1e-6, 1))
def test_the_compute_budget_is_hard(packer: str, cost: float, beyond: float) -> None:
    too_much = columns([1, 1], [cost, LIMITS.cost - cost + beyond])
    assert set(PACKERS[packer](too_much, LIMITS).tolist()) == {0, 1}


def test_the_rounding_of_a_sum_closes_no_pack() -> None:
    assert 0.1 + 0.2 > 0.3
    assert PACKERS["fixed_budget"](columns([1, 1], [0.1, 0.2]), Limits(64, 0.3)).tolist() == [0, 0]


@given(some_documents())
def test_batches_are_of_one_size_and_execute_the_longest_of_each(documents: Columns) -> None:
    pack = PACKERS["batch_padding"](documents, LIMITS)
    longest = int(documents.tokens.max(initial=1))
    batches = [list(group) for _, group in itertools.groupby(pack.tolist())]
    assert all(len(batch) == LIMITS.tokens // longest for batch in batches[:-1])
    sizes = documents.tokens.astype(np.float64)
    executed = [sizes[pack == n].max() * (pack == n).sum() for n in range(len(batches))]
    assert padded(sizes, pack).tolist() == executed


@given(some_documents())
def test_batches_up_to_the_cap_end_only_where_the_next_document_does_not_fit(documents: Columns) -> None:
    pack = PACKERS["padding_to_cap"](documents, LIMITS)
    for number in range(int(pack.max(initial=-1))):
        batch = documents.tokens[
            (pack == number) | (np.cumsum(pack == number + 1) == 1) & (pack == number + 1)
        ]
        assert batch.max() * len(batch) > LIMITS.tokens
    assert (np.diff(pack) >= 0).all()


def heap_lpt(documents: Columns, limits: Limits, packs: int) -> list[float]:
    """Graham's rule with a heap, one document after another; the packs' costs, or none where one is left."""
    heap = [(0.0, n, limits.tokens) for n in range(packs)]
    for i in np.argsort(-documents.cost, kind="stable"):
        passed = []
        while heap and heap[0][2] < documents.tokens[i]:
            passed.append(heapq.heappop(heap))
        if not heap:
            return []
        load, n, room = heapq.heappop(heap)
        for entry in [*passed, (load + documents.cost[i], n, room - int(documents.tokens[i]))]:
            heapq.heappush(heap, entry)
    return [load for load, _, _ in heap]


@pytest.mark.parametrize("seed", range(3))
def test_balanced_packs_are_as_even_as_those_of_a_heap(seed: int) -> None:
    documents = heavy(4000, seed)
    mean = float(documents.cost.sum() / documents.tokens.sum())
    limits = Limits(64, 0.95 * 64 * mean)
    cost = np.bincount(PACKERS["balanced"](documents, limits), documents.cost)
    reference = np.array(heap_lpt(documents, limits, len(cost)))
    assert cost.mean() / cost.max() >= reference.mean() / reference.max() - 0.002
    assert cost.mean() / cost.max() > 0.99
    assert len(cost) <= 1.01 * lower_bound(documents.tokens, documents.cost, limits)


def test_balanced_needs_hardly_more_packs_than_the_best_of_all_ways() -> None:
    needed = best = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        tokens = rng.integers(1, LIMITS.tokens // 2, rng.integers(1, 9))
        documents = columns(tokens.tolist(), (tokens * rng.uniform(0.5, 1.5, len(tokens))).tolist())
        packs = int(PACKERS["balanced"](documents, LIMITS).max()) + 1
        fewest = fewest_packs(documents)
        assert lower_bound(documents.tokens, documents.cost, LIMITS) <= fewest <= packs
        needed, best = needed + packs, best + fewest
    assert needed <= 1.1 * best


def fewest_packs(documents: Columns) -> int:
    """Brute force over all ways to share documents out."""

    def place(i: int, packs: list[tuple[int, float]], most: int) -> bool:
        if i == len(documents):
            return True
        tokens, cost = int(documents.tokens[i]), float(documents.cost[i])
        for n, (t, c) in enumerate(packs):
            if t + tokens <= LIMITS.tokens and c + cost <= LIMITS.cost:
                packs[n] = (t + tokens, c + cost)
                if place(i + 1, packs, most):
                    return True
                packs[n] = (t, c)
        return len(packs) < most and place(i + 1, [*packs, (tokens, cost)], most)

    return next(most for most in range(len(documents) + 1) if place(0, [], most))


@pytest.mark.parametrize("tokens", [[3] * 500, [22] * 500, [33] * 50, [64] * 20, [1] * 5000])
def test_equal_documents_fill_packs_as_far_as_whole_ones_can(tokens: list[int]) -> None:
    documents = columns(tokens, [float(t) for t in tokens])
    limits = Limits(64, 64.0)
    packs = int(PACKERS["balanced"](documents, limits).max()) + 1
    best = -(-len(tokens) // (64 // tokens[0]))
    assert packs <= best * 1.03 + 1


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=200), st.integers(0, 2**64 - 1))
def test_shuffle_keys_never_collide(ids: list[int], salt: int) -> None:
    assert len(set(shuffle_keys(np.array(ids, np.uint64), salt).tolist())) == len(ids)


def test_shuffle_keys_are_splitmix64s() -> None:
    def finaliser(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    ids = [0, 1, 2**63 + 5, 2**64 - 1]
    keys = shuffle_keys(np.array(ids, np.uint64), 77)
    assert keys.tolist() == [finaliser(i ^ 77) for i in ids]
