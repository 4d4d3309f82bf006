from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from jobs.curate.edit.quotas import choose, plan_quotas
from jobs.recipe.curation.edit import EditCuration

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 500), max_size=6)
WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0.1, 10), min_size=1, max_size=6)
MET = st.floats(0, 1)


def kept(available: dict[str, int], target: dict[str, float], met: float) -> dict[str, int]:
    return {task: quota.kept for task, quota in plan_quotas(available, target, met).items()}


def test_an_exact_target_is_set_by_the_scarcest_task() -> None:
    assert kept({"a": 100, "b": 40, "c": 10}, {"a": 1, "b": 1, "c": 1}, 1.0) == {"a": 10, "b": 10, "c": 10}
    assert kept({"a": 100, "b": 40, "c": 10}, {"a": 2, "b": 1, "c": 1}, 1.0) == {"a": 20, "b": 10, "c": 10}


def test_rounding_takes_nothing_from_the_scarcest_task() -> None:
    many = 10**9 + 1
    assert kept({"a": many, "b": 9 * many}, {"a": 0.1, "b": 0.3}, 1.0) == {"a": many, "b": 3 * many}


def test_without_a_target_to_meet_all_stay() -> None:
    assert kept({"a": 100, "b": 40}, {"a": 1, "b": 1}, 0.0) == {"a": 100, "b": 40}


def test_half_of_the_target_is_met_in_full_and_the_others_keep_all() -> None:
    quotas = plan_quotas({"a": 100, "b": 90, "c": 5, "d": 3}, dict.fromkeys("abcd", 1.0), 0.5)
    assert {task: quota.kept for task, quota in quotas.items()} == {"a": 90, "b": 90, "c": 5, "d": 3}
    assert [task for task, quota in quotas.items() if quota.is_short] == ["c", "d"]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf"), 0.0])
def test_weights_that_are_no_shares_are_refused(weight: float) -> None:
    with pytest.raises(ValidationError, match="finite weights that are not negative, one of them above 0"):
        EditCuration(target={"add": weight})


def test_a_task_without_weight_has_no_quota() -> None:
    assert kept({"a": 10, "other": 10}, {"a": 1}, 1.0) == {"a": 10, "other": 0}
    assert kept({"other": 10}, {"a": 1}, 0.5) == {"other": 0}
    assert kept({}, {"a": 1}, 0.5) == {}


@given(COUNTS, WEIGHTS, MET)
def test_tasks_have_their_shares_or_all_their_edits(
    available: dict[str, int], target: dict[str, float], met: float
) -> None:
    quotas = plan_quotas(available, target, met)
    assert quotas.keys() == available.keys()
    full = sum(quota.target for quota in quotas.values() if not quota.is_short)
    if any(task in target for task in available):
        assert full >= met - 1e-6
    sizes = [(q.quota / q.target, (q.quota + 1) / q.target) for q in quotas.values() if q.target]
    # Quotas are one size of the mix, rounded down.
    assert max((low for low, _ in sizes), default=0) <= min((high for _, high in sizes), default=0) + 1e-6


@given(COUNTS, WEIGHTS, MET)
def test_a_larger_mix_would_meet_less(
    available: dict[str, int], target: dict[str, float], met: float
) -> None:
    quotas = [quota for quota in plan_quotas(available, target, met).values() if quota.target]
    larger = min(((quota.quota + 1) / quota.target for quota in quotas), default=0) * (1 + 1e-9)
    enough = sum(quota.target for quota in quotas if quota.available >= larger * quota.target)
    assert enough == 0 or enough < met


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from("abc")), unique=True), st.randoms())
def test_choice_does_not_depend_on_order(records: list[tuple[int, str]], random: Random) -> None:
    quotas = plan_quotas(Counter(task for _, task in records), dict.fromkeys("abc", 1.0), 1.0)

    def chosen(order: list[tuple[int, str]]) -> set[tuple[int, str]]:
        keep = choose([i for i, _ in order], [t for _, t in order], quotas, seed=7)
        return {record for record, stays in zip(order, keep, strict=True) if stays}

    shuffled = sorted(records, key=lambda _: random.random())
    assert chosen(records) == chosen(shuffled)
    counts = Counter(task for _, task in chosen(records))
    assert {t: counts[t] for t in quotas} == {task: quota.kept for task, quota in quotas.items()}


def test_another_seed_chooses_others() -> None:
    quotas = plan_quotas({"a": 100, "b": 50}, {"a": 1, "b": 1}, 1.0)
    ids, tasks = list(range(150)), ["a"] * 100 + ["b"] * 50
    assert choose(ids, tasks, quotas, 0) != choose(ids, tasks, quotas, 1)


@pytest.mark.parametrize("met", [0.0, 0.3, 1.0])
def test_equal_tasks_all_stay(met: float) -> None:
    assert kept({"a": 30, "b": 30}, {"a": 1, "b": 1}, met) == {"a": 30, "b": 30}
