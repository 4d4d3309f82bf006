"""The comparison of packers: its figures are what a plain walk over the steps counts."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.pack.columns import FAMILIES, Columns
from jobs.pack.compare import compare, step_figures, tokens_by_family
from jobs.pack.packers import PACKERS, Limits


def mixed(count: int, seed: int) -> Columns:
    """Short texts, pictures and a few long interleaved documents."""
    rng = np.random.default_rng(seed)
    family = rng.choice(
        [FAMILIES.index(name) for name in ("text", "t2i", "video")], count, p=[0.6, 0.37, 0.03]
    )
    tokens = np.where(
        family == FAMILIES.index("text"), rng.integers(2, 60, count), rng.integers(90, 120, count)
    )
    tokens = np.where(family == FAMILIES.index("video"), rng.integers(300, 500, count), tokens)
    ids = rng.integers(0, 2**63, count).astype(np.uint64)
    return Columns(ids, family, tokens, tokens * 1.0 + tokens**2 * 0.0005)


def limits_of(documents: Columns) -> Limits:
    return Limits(1000, 0.95 * 1000 * float(documents.cost.sum() / documents.tokens.sum()))


@given(
    st.lists(st.tuples(st.floats(1, 100), st.integers(0, 50), st.integers(1, 50)), min_size=1, max_size=60)
)
def test_figures_of_steps(packs: list[tuple[float, int, int]]) -> None:
    ranks = 4
    cost = np.array([c for c, _, _ in packs])
    tokens = np.array([[a, b] for _, a, b in packs])
    figures = step_figures(cost, tokens, ranks)
    steps = [packs[n : n + ranks] for n in range(0, len(packs) - ranks + 1, ranks)] or [packs]
    even = [statistics.mean(c for c, _, _ in step) / max(c for c, _, _ in step) for step in steps]
    assert figures.steps == len(steps)
    assert figures.mean == pytest.approx(statistics.mean(even))
    assert figures.worst == pytest.approx(min(even))
    assert figures.worst <= figures.p99 <= figures.p50 <= 1 + 1e-12
    trained = sum(a + b for step in steps for _, a, b in step)
    assert figures.tokens_per_flop == pytest.approx(
        trained / sum(max(c for c, _, _ in step) for step in steps)
    )
    share = [sum(a for _, a, _ in step) / sum(a + b for _, a, b in step) for step in steps]
    assert figures.family_std == pytest.approx(statistics.pstdev(share), abs=1e-9)


def test_no_packs_have_no_figures() -> None:
    with pytest.raises(ValueError, match="no packs"):
        step_figures(np.empty(0), np.empty((0, 2), np.int64), 4)


def test_tokens_by_family() -> None:
    documents = mixed(50, 0)
    pack = np.arange(50) % 7
    sums = tokens_by_family(documents, pack, 7)
    for number, family in np.ndindex(7, len(FAMILIES)):
        mine = (pack == number) & (documents.family == family)
        assert sums[number, family] == documents.tokens[mine].sum()


@pytest.mark.parametrize("seed", range(3))
def test_balanced_is_best_and_padding_worst(seed: int) -> None:
    documents = mixed(20_000, seed)
    figures = {f.packer: f for f in compare(documents, limits_of(documents), 64, seed)}
    assert list(figures) == list(PACKERS)
    speed = {name: f.steps.tokens_per_flop for name, f in figures.items()}
    assert speed["balanced"] > 1.05 * speed["fixed_budget"] > speed["fixed_length"] > speed["padding_to_cap"]
    assert speed["padding_to_cap"] > speed["batch_padding"]
    assert figures["balanced"].steps.mean > 0.995
    assert figures["balanced"].packs <= 1.01 * figures["balanced"].lower_bound


def test_the_figures_do_not_depend_on_the_order_of_documents() -> None:
    documents = mixed(2_000, 1)
    other = documents.take(np.random.default_rng(0).permutation(len(documents)))
    limits = limits_of(documents)
    assert compare(documents, limits, 8, 5) == compare(other, limits, 8, 5)
    assert compare(documents, limits, 8, 5) != compare(documents, limits, 8, 6)
