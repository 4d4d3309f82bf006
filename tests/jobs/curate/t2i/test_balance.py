from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.t2i.balance import choose, topic_cap

COUNTS = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 300), max_size=6)
SHARES = st.integers(1, 100).map(lambda n: n / 100)


def holds(available: dict[str, int], cap: int, share: float) -> bool:
    kept = [min(n, cap) for n in available.values()]
    return max(kept) <= share * sum(kept) * (1 + 1e-12)


@given(COUNTS, SHARES)
def test_the_cap_is_the_largest_that_holds(available: dict[str, int], share: float) -> None:
    caps = [c for c in range(1, max(available.values(), default=0) + 1) if holds(available, c, share)]
    assert topic_cap(available, share) == (caps[-1] if caps else None)


def test_the_share_is_of_what_is_kept() -> None:
    # 40% of all 1000 would be 400, which is 57% of the 700 that then stay.
    assert topic_cap({"a": 700, "b": 150, "c": 150}, 0.4) == 200


def test_a_share_that_few_topics_cannot_reach() -> None:
    assert topic_cap({"a": 10, "b": 10}, 0.4) is None
    assert topic_cap({}, 0.4) is None
    assert topic_cap({"a": 10}, 1.0) == 10


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.sampled_from("abc")), unique=True), st.randoms())
def test_choice_does_not_depend_on_order(records: list[tuple[int, str]], random: Random) -> None:
    def chosen(order: list[tuple[int, str]]) -> set[tuple[int, str]]:
        keep = choose([i for i, _ in order], [t for _, t in order], 2, seed=7)
        return {record for record, kept in zip(order, keep, strict=True) if kept}

    shuffled = sorted(records, key=lambda _: random.random())
    assert chosen(records) == chosen(shuffled)
    counts = Counter(topic for _, topic in records)
    assert Counter(t for _, t in chosen(records)) == {t: min(2, n) for t, n in counts.items()}


def test_another_seed_chooses_others() -> None:
    ids, topics = list(range(100)), ["a"] * 100
    assert choose(ids, topics, 50, 0) != choose(ids, topics, 50, 1)
    assert all(choose(ids, topics, None, 0))
