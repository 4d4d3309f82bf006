"""Checks of text curation: thresholds hold, subsets have their shares, documents are published."""

from __future__ import annotations

from collections import Counter

from assets.checks import Check, Published, Verdict, no_problems
from assets.checks.records import kept
from jobs.recipe.curation.text import TextFilters

TOLERANCE = 0.02
"""Of a subset's characters, against its quota; or one text's length, where that is more."""


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
    """Recounted from the catalogue: no subset exceeds its quota, or falls short of it by more than a text."""
    rows = kept(output)
    taken: Counter[str] = Counter()
    for subset, number in zip(rows["subset"].to_pylist(), rows["characters"].to_pylist(), strict=True):
        taken[subset.split("/")[0] or "texts"] += number
    problems = []
    for name, figures in output.manifest.metadata["subsets"].items():
        quota = figures["quota"]
        room = max(TOLERANCE * quota, _longest_available(output, name))
        if taken[name] > quota or taken[name] < quota - room:
            problems.append(f"{name} has {taken[name]} characters, its quota is {quota}")
    return no_problems(problems, f"{len(taken)} subsets have their quotas", characters=sum(taken.values()))


def _longest_available(output: Published, subset: str) -> int:
    table = output.table("data/catalogue.parquet", ["subset", "characters"])
    pairs = zip(table["subset"].to_pylist(), table["characters"].to_pylist(), strict=True)
    return max((n or 0 for s, n in pairs if ((s or "").split("/")[0] or "texts") == subset), default=0)


THRESHOLDS = Check("thresholds_hold", "Every kept text satisfies every threshold.", _thresholds)
MIXTURE = Check("mixture", "Every subset has its quota of characters.", _mixture)
