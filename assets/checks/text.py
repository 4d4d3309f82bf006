"""Checks of text curation: thresholds hold, subsets have their shares, documents are published."""

from __future__ import annotations

from fractions import Fraction

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import catalogue, kept
from jobs.recipe.curation.text import TextFilters


def _thresholds(output: Published) -> Verdict:
    filters: TextFilters = output.settings.filters
    limits = {
        "characters": (filters.min_characters, filters.max_characters),
        "words": (filters.min_words, None),
        "word_length": (filters.min_word_length, filters.max_word_length),
        "symbols": (None, filters.max_symbols),
        "alphabetic": (filters.min_alphabetic, None),
        "stop_words": (filters.min_stop_words, None),
        "bullet_lines": (None, filters.max_bullet_lines),
        "ellipsis_lines": (None, filters.max_ellipsis_lines),
        "repeated_lines": (None, filters.max_repeated_lines),
        "top_phrase": (None, filters.max_top_phrase),
    }
    rows = kept(output).to_pylist()
    problems = [
        f"{row['source']} was kept with {name} {row[name]}"
        for row in rows
        for name, (low, high) in limits.items()
        if (low is not None and row[name] < low) or (high is not None and row[name] > high)
    ]
    return no_problems(problems, f"{len(rows)} kept texts satisfy {len(limits)} thresholds", kept=len(rows))


def _mixture(output: Published) -> Verdict:
    """Recounted from the catalogue and the recipe's weights: no subset exceeds its quota, and with what was
    left of it, it would."""
    lengths: dict[str, dict[str, list[int]]] = {}
    for row in catalogue(output).select(["subset", "status", "reason", "characters"]).to_pylist():
        if row["status"] == "kept" or row["reason"] == "over_quota":
            own = lengths.setdefault(row["subset"].split("/")[0], {"kept": [], "rejected": []})
            own[row["status"]].append(row["characters"])
    quotas = _quotas({part: sum(map(sum, found.values())) for part, found in lengths.items()}, output)
    problems = []
    for part, found in lengths.items():
        taken, left, quota = sum(found["kept"]), found["rejected"], quotas[part]
        fits = bool(left) and taken + max(left) <= quota
        if taken > quota or fits or (quota and not taken):
            problems.append(f"{part or 'texts'} has {taken} characters, its quota is {quota}")
    characters = sum(sum(found["kept"]) for found in lengths.values())
    return no_problems(problems, f"{len(lengths)} subsets have their quotas", characters=characters)


def _quotas(available: dict[str, int], output: Published) -> dict[str, int]:
    """Characters that each subset is to have: its weight times what the scarcest has for each of its own."""
    if not output.settings.weights:
        return available
    weights = {part: Fraction(str(output.settings.weights.get(part, 0))) for part in available}
    size = min((number / weights[part] for part, number in available.items() if weights[part]), default=0)
    return {part: int(size * weight) for part, weight in weights.items()}


THRESHOLDS = Check("thresholds_hold", "Every kept text satisfies every threshold.", _thresholds)
MIXTURE = Check("mixture", "Every subset has its quota of characters, to within one text.", _mixture)
