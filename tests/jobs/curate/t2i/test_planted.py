"""What each filter finds of what was planted, among pictures that are clean."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pytest
from curate.t2i.planted import corpus

from jobs.curate.t2i.decisions import REASONS, decide
from jobs.curate.t2i.records import SCORES_SCHEMA, score_row
from jobs.recipe import Duplicates, Filters
from jobs.sources import Record

PHOTOS = Duplicates(max_distance=10, max_colour_difference=24)
"""Photographs that were scaled, cropped or recoloured still count as one; the defaults are for drawings."""

OFF = Filters(min_side=1, max_aspect=1e9, min_entropy=0, min_sharpness=0, max_border=1, max_frame=1)
NOTHING_ALIKE = Duplicates(max_distance=0, max_colour_difference=0)

CLEAN = 165

Outcome = tuple[str | None, str | None]
"""The reason that is right, and the one that was found."""


@pytest.fixture(scope="module")
def scored() -> tuple[pa.Table, dict[str, str | None]]:
    """The scores of the corpus as the job stores them, and the right reason by source."""
    pictures = list(corpus(CLEAN, faults=40, copies=10))
    rows = [score_row(Record(p.name, p.data, "a caption"), "0", 10**9, 10**9) for p in pictures]
    table = pa.Table.from_pylist(rows, schema=SCORES_SCHEMA).sort_by("source")
    return table, {p.name: p.reason for p in pictures}


def outcomes(
    scored: tuple[pa.Table, dict[str, str | None]], filters: Filters, duplicates: Duplicates
) -> list[Outcome]:
    table, right = scored
    return [(right[row["source"]], row["reason"]) for row in decide(table, filters, duplicates).to_pylist()]


def precision_and_recall(found: list[Outcome]) -> dict[str, tuple[float, float]]:
    """By reason; a filter that finds nothing has a precision of one."""
    figures = {}
    for reason in REASONS:
        hits = sum(outcome == (reason, reason) for outcome in found)
        said = sum(was == reason for _, was in found)
        planted = sum(right == reason for right, _ in found)
        figures[reason] = (hits / said if said else 1.0, hits / planted)
    return figures


def show(figures: Mapping[str, tuple[float, float]], found: list[Outcome]) -> None:
    """Run with `-s` to read it."""
    print(f"\n{'reason':18}{'planted':>8}{'precision':>11}{'recall':>8}")
    for reason, (precision, recall) in figures.items():
        planted = sum(right == reason for right, _ in found)
        print(f"{reason:18}{planted:8}{precision:11.3f}{recall:8.3f}")


def test_every_filter_finds_what_was_planted_and_little_else(
    scored: tuple[pa.Table, dict[str, str | None]],
) -> None:
    found = outcomes(scored, Filters(), PHOTOS)
    figures = precision_and_recall(found)
    show(figures, found)
    assert all(min(figure) >= 0.95 for figure in figures.values()), figures
    kept = [was is None for right, was in found if right is None]
    assert len(kept) == CLEAN >= 150
    assert sum(kept) / len(kept) >= 0.95


def test_without_thresholds_nothing_but_equal_files_is_found(
    scored: tuple[pa.Table, dict[str, str | None]],
) -> None:
    """The negative control: it is the thresholds that find the faults."""
    figures = precision_and_recall(outcomes(scored, OFF, NOTHING_ALIKE))
    assert figures.pop("exact_duplicate") == (1.0, 1.0)
    assert all(recall < 0.2 for _, recall in figures.values()), figures


def test_strict_limits_of_duplicates_miss_what_was_changed(
    scored: tuple[pa.Table, dict[str, str | None]],
) -> None:
    """The defaults hardly ever join drawings that differ, and miss photographs that were cropped."""
    precision, recall = precision_and_recall(outcomes(scored, Filters(), Duplicates()))["near_duplicate"]
    assert precision >= 0.95
    assert recall < 0.8
