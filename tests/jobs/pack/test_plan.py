"""Plans: each document once or with a reason, no cap exceeded, the order a pure function of the seed."""

from __future__ import annotations

import dataclasses
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pack.columns import Columns, shuffle_keys
from jobs.pack.packers import Limits, next_fit
from jobs.pack.plan import Plan, make_plan
from jobs.recipe import Packing

PACKING = Packing(max_tokens=64, fill=0.9)


def columns(ids: list[int], tokens: list[int], flops: list[float], family: str = "t2i") -> Columns:
    n = len(ids)
    return Columns(
        np.array(ids, np.uint64),
        np.full(n, family),
        np.array(tokens, np.int64),
        np.array(flops),
        np.zeros(n, np.int64),
        np.arange(n),
    )


@st.composite
def some_documents(draw: st.DrawFn) -> Columns:
    ids = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=80))
    tokens = [draw(st.integers(1, 80)) for _ in ids]
    flops = [t * draw(st.floats(0.5, 2.0)) for t in tokens]
    return columns(ids, tokens, flops)


def names(plan: Plan) -> list[list[int]]:
    return [plan.documents.ids[p].tolist() for p in plan.packs]


def violations(plan: Plan) -> list[str]:
    """Everything that a plan must never do, in words."""
    placed = np.bincount(np.concatenate([np.empty(0, np.int64), *plan.packs]), minlength=len(plan.documents))
    found = []
    if (placed[plan.reasons == ""] != 1).any():
        found.append("a document without a reason is not packed exactly once")
    if placed[plan.reasons != ""].any():
        found.append("a rejected document is packed")
    if plan.packs and plan.pack_tokens().max() > plan.limits.tokens:
        found.append("a pack exceeds the token cap")
    if plan.packs and plan.pack_flops().max() > plan.limits.flops * (1 + 1e-9):
        found.append("a pack exceeds the compute budget")
    return found


@given(some_documents(), st.integers(0, 5))
def test_each_document_is_packed_once_or_has_a_reason_and_no_cap_is_exceeded(
    documents: Columns, seed: int
) -> None:
    plan = make_plan(documents, PACKING, {"t2i": 1.0}, seed)
    assert len(plan.documents) == len(documents)
    assert not violations(plan)
    assert plan.lower_bound() <= len(plan.packs)


def test_the_check_sees_a_lost_a_doubled_and_a_crowded_document() -> None:
    plan = make_plan(columns(list(range(20)), [20] * 20, [1.0] * 20), PACKING, {"t2i": 1.0}, 0)
    first, second, *rest = plan.packs
    assert violations(dataclasses.replace(plan, packs=[first, *rest]))
    assert violations(dataclasses.replace(plan, packs=[first, first, second, *rest]))
    crowded = [np.concatenate([first, second]), *rest]
    assert any("cap" in line for line in violations(dataclasses.replace(plan, packs=crowded)))


@given(some_documents(), st.integers(0, 5), st.randoms())
def test_the_order_of_the_input_changes_nothing(documents: Columns, seed: int, random: Random) -> None:
    order = list(range(len(documents)))
    random.shuffle(order)
    one = make_plan(documents, PACKING, {"t2i": 1.0}, seed)
    other = make_plan(documents.take(np.array(order)), PACKING, {"t2i": 1.0}, seed)
    assert names(one) == names(other)
    assert one.reasons.tolist() == other.reasons.tolist()


def test_another_seed_gives_another_order() -> None:
    documents = columns(list(range(50)), [10] * 50, [10.0] * 50)
    plans = [names(make_plan(documents, PACKING, {"t2i": 1.0}, seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


def test_reasons_say_why_a_document_is_left_out() -> None:
    documents = columns([1, 2, 3, 3, 4], [10, 65, 10, 10, 60], [10.0, 65.0, 10.0, 10.0, 600.0])
    plan = make_plan(documents, PACKING, {"t2i": 1.0}, 0)
    assert plan.reasons.tolist() == ["", "over_token_cap", "", "duplicate", "over_budget"]


def test_the_budget_is_a_share_of_a_pack_full_of_average_tokens() -> None:
    plan = make_plan(columns([1, 2], [10, 30], [20.0, 60.0]), PACKING, {"t2i": 1.0}, 0)
    assert plan.limits.flops == pytest.approx(0.9 * 64 * 2.0)


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.integers(0, 3))
def test_families_share_the_tokens_as_the_mixture_says(one: float, other: float, seed: int) -> None:
    first = columns(list(range(300)), [4] * 300, [4.0] * 300, "t2i")
    second = columns(list(range(300, 600)), [4] * 300, [4.0] * 300, "text")
    both = Columns(
        *(np.concatenate(pair) for pair in zip(vars(first).values(), vars(second).values(), strict=True))
    )
    plan = make_plan(both, PACKING, {"t2i": one, "text": other}, seed)
    packed = plan.documents.take(np.concatenate(plan.packs))
    share = packed.tokens[packed.family == "t2i"].sum() / packed.tokens.sum()
    assert share == pytest.approx(one / (one + other), abs=0.01)
    assert not violations(plan)


def test_next_fit_refuses_a_document_beyond_the_limits() -> None:
    with pytest.raises(ValueError, match="exceeds the limits"):
        next_fit(columns([1], [65], [1.0]), Limits(64, 100.0))


@given(st.lists(st.integers(0, 2**64 - 1), unique=True, max_size=200), st.integers(0, 2**64 - 1))
def test_shuffle_keys_never_collide(ids: list[int], salt: int) -> None:
    assert len(set(shuffle_keys(np.array(ids, np.uint64), salt).tolist())) == len(ids)
