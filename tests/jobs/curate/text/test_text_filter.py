"""Measures, thresholds and duplicates of texts, on texts whose flaws are known."""

from __future__ import annotations

import random
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.curate.text.filter import decide
from jobs.curate.text.measures import SHINGLE_WORDS, measure, read_signature
from jobs.curate.text.score import SCORES_SCHEMA, score_row
from jobs.recipe.curation.text import TextDuplicates, TextFilters
from jobs.scenes.texts import FLAWS, write_text
from jobs.sources import TextRecord

FILTERS = TextFilters(min_words=30)

OPEN = TextFilters(
    min_characters=1,
    min_words=1,
    min_word_length=0,
    max_word_length=100,
    max_symbols=10,
    min_alphabetic=0,
    min_stop_words=0,
    max_ellipsis_lines=1,
    max_repeated_lines=1,
    max_top_phrase=1,
)

EXPECTED = {
    "repeated": "exact_duplicate",
    "rewritten": "near_duplicate",
    "short": "short",
    "symbols": "symbols",
    "repeated_lines": "repeated_lines",
    "numbers": "not_words",
}
"""The reason that a flaw is to be rejected for."""


def scores(texts: list[str]) -> pa.Table:
    rows = [score_row(TextRecord(f"x#{n:06d}", text), "s", "") for n, text in enumerate(texts)]
    return pa.Table.from_pylist(rows, schema=SCORES_SCHEMA)


def reasons(texts: list[str], filters: TextFilters = FILTERS) -> list[str | None]:
    found: list[str | None] = decide(scores(texts), filters, TextDuplicates())["reason"].to_pylist()
    return found


def test_every_planted_flaw_is_found_and_sound_texts_stay() -> None:
    texts = [write_text(3, index) for index in range(1500)]
    found = reasons([text.text for text in texts])
    planted = Counter(text.flaw for text in texts)
    assert min(planted[flaw] for flaw in FLAWS) >= 12
    for flaw, reason in EXPECTED.items():
        hits = sum(text.flaw == flaw and r == reason for text, r in zip(texts, found, strict=True))
        given_reason = sum(r == reason for r in found)
        precision, recall = hits / given_reason, hits / planted[flaw]
        print(f"{reason}: precision {precision:.3f}, recall {recall:.3f} of {planted[flaw]}")
        assert min(precision, recall) >= 0.95
    assert all(r is None for text, r in zip(texts, found, strict=True) if text.flaw is None)


def test_without_thresholds_the_flaws_stay() -> None:
    """The planted flaws are found by the thresholds, and by nothing else."""
    texts = [write_text(3, index) for index in range(300)]
    found = set(reasons([text.text for text in texts], OPEN))
    assert found <= {None, "exact_duplicate", "near_duplicate"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"min_characters": 1_000_000}, "short"),
        ({"max_characters": 2, "min_characters": 1}, "long"),
        ({"min_words": 10_000}, "few_words"),
        ({"min_word_length": 9.0}, "word_length"),
        ({"max_symbols": 0.0}, None),
        ({"min_alphabetic": 1.0}, None),
        ({"min_stop_words": 12}, "no_stop_words"),
        ({"max_top_phrase": 0.0}, "repeated_phrase"),
    ],
)
def test_a_threshold_rejects_for_its_own_reason(change: dict[str, float], reason: str | None) -> None:
    text = write_text(0, 0).text
    assert reasons([text], FILTERS.model_copy(update=change)) == [reason]


def test_bullets_and_ellipses_are_told_by_lines() -> None:
    line = "a list of things that are to be bought and carried home by the two of us"
    bullets = "\n".join(f"- {line} number {n}" for n in range(10))
    ellipses = "\n".join(f"{line} number {n} …" for n in range(10))
    assert reasons([bullets, ellipses]) == ["bullets", "ellipses"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_signatures_estimate_the_similarity_of_runs_of_words(seed: int, changes: int) -> None:
    rng = random.Random(seed)
    words = [f"w{rng.randrange(5000)}" for _ in range(300)]
    other = list(words)
    for _ in range(changes):
        other[rng.randrange(len(other))] = f"x{rng.randrange(5000)}"
    one, two = (read_signature(measure(" ".join(w)).signature) for w in (words, other))
    sets = [
        {tuple(w[n : n + SHINGLE_WORDS]) for n in range(len(w) - SHINGLE_WORDS + 1)} for w in (words, other)
    ]
    exact = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    # 128 hashes: a standard deviation of at most 0.045; five of them are never seen in so few examples.
    assert abs(one.jaccard(two) - exact) < 5 * 0.045


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=400))
def test_any_text_can_be_measured(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    found = measure(text)
    assert found.characters == len(text)
    shares = (found.alphabetic, found.bullet_lines, found.ellipsis_lines, found.repeated_lines)
    assert all(0 <= share <= 1 for share in shares)
    assert measure(text) == found


def test_near_duplicates_at_the_limit_are_found() -> None:
    """Against every pair compared by brute force: buckets must not lose what is as similar as the limit."""
    similarity = 0.8
    rng = random.Random(5)
    texts = []
    for number in range(300):
        words = [f"the{rng.randrange(4000)}" for _ in range(120)]
        texts.append(" ".join(words))
        for place in rng.sample(range(len(words)), 1 + number % 3):
            words[place] = f"of{rng.randrange(4000)}"
        texts.append(" ".join(words))
    table = decide(scores(texts), OPEN, TextDuplicates(min_similarity=similarity))
    signatures = [read_signature(data) for data in scores(texts)["signature"].to_pylist()]
    kept: list[int] = []
    for number, signature in enumerate(signatures):
        if all(signature.jaccard(signatures[other]) < similarity for other in kept):
            kept.append(number)
    found = {n for n, reason in enumerate(table["reason"].to_pylist()) if reason == "near_duplicate"}
    expected = set(range(len(texts))) - set(kept)
    near = [n for n in expected if signatures[n].jaccard(signatures[n - 1]) < similarity + 0.06]
    assert len(near) >= 40, "many lie at the limit"
    assert found <= expected
    assert len(found) >= 0.99 * len(expected)
    assert len(found & set(near)) >= 0.98 * len(near)


def test_a_chain_of_small_changes_does_not_pull_in_what_differs() -> None:
    """Each text is compared with kept ones only."""
    rng = random.Random(1)
    words = ["the", "of", *(f"word{rng.randrange(5000)}" for _ in range(200))]
    texts = [" ".join(words)]
    for _ in range(12):
        for _ in range(4):
            words[rng.randrange(2, len(words))] = f"other{rng.randrange(5000)}"
        texts.append(" ".join(words))
    table = decide(scores(texts), FILTERS, TextDuplicates(min_similarity=0.8))
    kept = [n for n, status in enumerate(table["status"].to_pylist()) if status == "kept"]
    assert len(kept) >= 3, "far ends of the chain are different texts"
    ids = table["sample_id"].to_pylist()
    assert {d for d in table["duplicate_of"].to_pylist() if d} <= {ids[n] for n in kept}
