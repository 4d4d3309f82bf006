"""text/filtered: thresholds and duplicates, from the stored measures alone.

A record has one reason, the first that applies, in the order of `_REASONS`; then `exact_duplicate` and
`near_duplicate`. Duplicates are looked for among the texts that pass, within a drop; the first stays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
from datasketch import MinHashLSH

from infra.job import JobSpec
from infra.manifest import Manifest, Output
from infra.reporter import Reporter
from jobs.curate.duplicates import exact_duplicates
from jobs.curate.stage import (
    commit,
    count_rows,
    kept_rows,
    only_input,
    publish_stage,
    read_catalogue,
    reject,
    set_column,
)
from jobs.curate.text.measures import PERMUTATIONS, read_signature
from jobs.curate.text.pictures import show_filtered
from jobs.curate.text.score import sum_of
from jobs.recipe.curation.text import TextDuplicates, TextFilters
from jobs.specs.text import TextFilterSettings

Row = dict[str, Any]
Test = Callable[[Row, TextFilters], bool]

_REASONS: dict[str, tuple[str, Test]] = {
    "short": ("characters", lambda r, f: r["characters"] < f.min_characters),
    "long": ("characters", lambda r, f: r["characters"] > f.max_characters),
    "few_words": ("words", lambda r, f: r["words"] < f.min_words),
    "symbols": ("symbols", lambda r, f: r["symbols"] > f.max_symbols),
    "not_words": ("alphabetic", lambda r, f: r["alphabetic"] < f.min_alphabetic),
    "word_length": (
        "word_length",
        lambda r, f: not f.min_word_length <= r["word_length"] <= f.max_word_length,
    ),
    "no_stop_words": ("stop_words", lambda r, f: r["stop_words"] < f.min_stop_words),
    "bullets": ("bullet_lines", lambda r, f: r["bullet_lines"] > f.max_bullet_lines),
    "ellipses": ("ellipsis_lines", lambda r, f: r["ellipsis_lines"] > f.max_ellipsis_lines),
    "repeated_lines": ("repeated_lines", lambda r, f: r["repeated_lines"] > f.max_repeated_lines),
    "repeated_phrase": ("top_phrase", lambda r, f: r["top_phrase"] > f.max_top_phrase),
}
"""Reason: the measure it looks at, and whether a text is to go."""

_PROPOSED = 0.99
"""Share of the pairs at the limit that buckets are to propose."""


def run(spec: JobSpec[TextFilterSettings], report: Reporter) -> Manifest:
    """Decide about every text of the drop."""
    folder = only_input(spec, "text/scored")
    catalogue = decide(kept_rows(read_catalogue(folder)), spec.settings.filters, spec.settings.duplicates)
    output = Output(spec.output)
    show_filtered(output, report, catalogue)
    figures = {"characters": sum_of(kept_rows(catalogue), "characters")}
    return commit(spec, publish_stage(output, catalogue, folder), count_rows(catalogue), figures)


def decide(scores: pa.Table, filters: TextFilters, duplicates: TextDuplicates) -> pa.Table:
    """Set `status`, `reason`, `detail` and add `duplicate_of` to a table of measures sorted by source."""
    rows = scores.to_pylist()
    found = [judge(row, filters) for row in rows]
    reasons: list[str | None] = [reason for reason, _ in found]
    duplicate_of: list[int | None] = [None] * len(rows)
    for reason, find in (("exact_duplicate", _exact), ("near_duplicate", _near)):
        open_rows = [number for number, known in enumerate(reasons) if known is None]
        matches = find([rows[number] for number in open_rows], duplicates)
        for number, match in zip(open_rows, matches, strict=True):
            if match is not None:
                reasons[number] = reason
                duplicate_of[number] = rows[open_rows[match]]["sample_id"]
    table = reject(scores, reasons, [detail for _, detail in found])
    return set_column(table, "duplicate_of", duplicate_of, pa.uint64())


def judge(row: Row, filters: TextFilters) -> tuple[str | None, str | None]:
    """The first reason against a text with its detail, or neither."""
    for reason, (measure, goes) in _REASONS.items():
        if goes(row, filters):
            value = row[measure]
            return reason, f"{measure}: {value:.3g}" if isinstance(value, float) else f"{measure}: {value}"
    return None, None


def _exact(rows: list[Row], _duplicates: TextDuplicates) -> list[int | None]:
    return exact_duplicates([row["sha256"] for row in rows])


def _near(rows: list[Row], duplicates: TextDuplicates) -> list[int | None]:
    """For each text the first kept one before it that is as similar as the limit, or None.

    Buckets only propose, nearly all pairs at the limit and more of those beyond it; the estimate from the
    whole signature decides.
    """
    if duplicates.min_similarity >= 1.0:
        return [None] * len(rows)
    index = MinHashLSH(num_perm=PERMUTATIONS, params=_bands(duplicates.min_similarity))
    signatures = [read_signature(row["signature"]) for row in rows]
    found: list[int | None] = []
    for number, signature in enumerate(signatures):
        near = sorted(int(key) for key in index.query(signature))
        limit = duplicates.min_similarity
        match = next((n for n in near if signature.jaccard(signatures[n]) >= limit), None)
        found.append(match)
        if match is None:
            index.insert(str(number), signature)
    return found


def _bands(limit: float) -> tuple[int, int]:
    """Bands and hashes of each: the longest bands of which two texts at the limit still share one.

    With b bands of r hashes, texts of similarity s share a band with the probability 1 - (1 - s**r)**b.
    """
    rows = range(1, PERMUTATIONS // 2 + 1)
    enough = (r for r in rows if 1 - (1 - limit**r) ** (PERMUTATIONS // r) >= _PROPOSED)
    longest = max(enough, default=1)
    return PERMUTATIONS // longest, longest
