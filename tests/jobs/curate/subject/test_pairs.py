"""Which pairs of pictures become candidates, against a reading of the rules by brute force."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import combinations
from random import Random

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.curate.subject.pairs import Pairs, judge_pairs, pair_id, pairs_within
from jobs.specs.subject import CandidateSettings

Floats = npt.NDArray[np.float64]
Picture = tuple[str, str]
"""Group and file."""

LIMITS = CandidateSettings(min_similarity=0.5, max_similarity=0.99, pairs_per_picture=2)

pictures = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("stuvwxyz")), unique=True, max_size=14)


def checksum(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def angle_of(name: str) -> float:
    """Where a file lies on a circle, the same in every group."""
    return int(checksum(name)[:4], 16) / 0x10000 * 2.5


def considered(rows: list[Picture]) -> Pairs:
    angles = np.array([angle_of(name) for _, name in rows])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return pairs_within([group for group, _ in rows], [checksum(name) for _, name in rows], vectors)


def verdicts_on(rows: list[Picture]) -> dict[frozenset[Picture], str | None]:
    pairs = considered(rows)
    sides = zip(pairs.reference_P, pairs.target_P, strict=True)
    found = [frozenset({rows[a], rows[b]}) for a, b in sides]
    assert len(set(found)) == len(found)
    return dict(zip(found, judge_pairs(pairs, LIMITS), strict=True))


@given(pictures)
def test_every_pair_of_a_group_is_considered_once(rows: list[Picture]) -> None:
    found = verdicts_on(sorted(rows))
    assert set(found) == {frozenset(pair) for pair in combinations(rows, 2) if pair[0][0] == pair[1][0]}


@given(pictures)
def test_the_rules_hold_by_brute_force(rows: list[Picture]) -> None:
    verdicts = verdicts_on(sorted(rows))
    used = Counter(picture for pair, reason in verdicts.items() if reason is None for picture in pair)
    assert max(used.values(), default=0) <= LIMITS.pairs_per_picture
    files: Counter[frozenset[str]] = Counter()
    for pair, reason in verdicts.items():
        one, other = pair
        cosine = round(float(np.cos(angle_of(one[1]) - angle_of(other[1]))), 6)
        files[frozenset({one[1], other[1]})] += reason is None
        assert (reason == "dissimilar") == (cosine < LIMITS.min_similarity)
        assert (reason == "too_similar") == (cosine > LIMITS.max_similarity)
        if reason == "over_limit":
            assert max(used[one], used[other]) == LIMITS.pairs_per_picture
    assert max(files.values(), default=0) <= 1


@given(st.sets(st.sampled_from("stuvwxyz")), st.randoms())
def test_the_order_of_the_pictures_of_a_group_changes_nothing(names: set[str], random: Random) -> None:
    rows = [("a", name) for name in sorted(names)]
    shuffled = random.sample(rows, len(rows))
    assert verdicts_on(rows) == verdicts_on(shuffled)

    def directions(order: list[Picture]) -> set[tuple[Picture, Picture]]:
        pairs = considered(order)
        return {(order[a], order[b]) for a, b in zip(pairs.reference_P, pairs.target_P, strict=True)}

    assert directions(rows) == directions(shuffled)


def test_a_pair_has_one_id_and_both_directions_occur() -> None:
    assert pair_id(checksum("a"), checksum("b")) == pair_id(checksum("b"), checksum("a"))
    pairs = considered([("a", str(n)) for n in range(30)])
    forward = sum(a < b for a, b in zip(pairs.reference_P, pairs.target_P, strict=True))
    assert 0.35 < forward / len(pairs.ids) < 0.65


def test_a_pair_that_two_groups_have_counts_in_the_first() -> None:
    rows = [(group, name) for group in "ab" for name in ("one", "two")]
    vectors = np.array([[1, 0], [0.8, 0.6]] * 2, np.float64)
    pairs = pairs_within([group for group, _ in rows], [checksum(name) for _, name in rows], vectors)
    assert judge_pairs(pairs, LIMITS) == [None, "repeated"]


def planted(rng: np.random.Generator) -> tuple[Floats, dict[tuple[int, int], str]]:
    """An album of 6 in 64 dimensions: three of one subject, a near copy of the first, two strangers."""
    subject = rng.normal(size=64)
    own = [subject + 0.6 * rng.normal(size=64) for _ in range(3)]
    vectors = np.array([*own, own[0] + 0.02 * rng.normal(size=64), *rng.normal(size=(2, 64))])
    truth = dict.fromkeys(combinations(range(6), 2), "dissimilar")
    truth |= dict.fromkeys(combinations(range(4), 2), "kept")
    truth[0, 3] = "too_similar"
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), truth


def measured(settings: CandidateSettings) -> dict[str, tuple[float, float]]:
    """Precision and recall of each outcome over 60 planted albums."""
    rng = np.random.default_rng(0)
    albums = [planted(rng) for _ in range(60)]
    outcomes: Counter[tuple[str, str]] = Counter()
    for number, (vectors, truth) in enumerate(albums):
        pairs = pairs_within(["a"] * 6, [checksum(f"{number}/{n}") for n in range(6)], vectors)
        for a, b, reason in zip(pairs.reference_P, pairs.target_P, judge_pairs(pairs, settings), strict=True):
            outcomes[truth[min(int(a), int(b)), max(int(a), int(b))], reason or "kept"] += 1
    return {name: precision_and_recall(outcomes, name) for name in ("kept", "dissimilar", "too_similar")}


def precision_and_recall(outcomes: Counter[tuple[str, str]], name: str) -> tuple[float, float]:
    right = outcomes[name, name]
    said = sum(n for (_, found), n in outcomes.items() if found == name)
    there = sum(n for (true, _), n in outcomes.items() if true == name)
    return right / max(1, said), right / max(1, there)


def test_planted_copies_and_strangers_are_told_from_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    settings = CandidateSettings(min_similarity=0.5, max_similarity=0.98, pairs_per_picture=5)
    found = measured(settings)
    with capsys.disabled():
        for name, (precision, recall) in found.items():
            print(f"\ncandidates, {name}: precision {precision:.3f}, recall {recall:.3f}", end="")
    assert all(min(pair) >= 0.95 for pair in found.values()), found
    # Without limits every copy and stranger is kept, and the same measure says so.
    open_ = measured(CandidateSettings(min_similarity=-1, max_similarity=1, pairs_per_picture=5))
    assert open_["kept"][0] < 0.5
    assert open_["too_similar"] == (0.0, 0.0)
