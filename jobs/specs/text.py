"""What the jobs of text curation are told."""

from __future__ import annotations

from jobs.recipe.curation.text import TextDuplicates, TextFilters
from jobs.recipe.section import Section
from jobs.recipe.sources import Source


class TextScoreSettings(Section):
    """text/scored, input raw/text (one drop): measures of every text, without thresholds."""

    source: Source
    max_bytes: int


class TextFilterSettings(Section):
    """text/filtered, input text/scored (one drop)."""

    filters: TextFilters
    duplicates: TextDuplicates


class TextMixSettings(Section):
    """text/mixed, input text/filtered (all drops): publishes the curated documents."""

    source: Source
    max_bytes: int
    weights: dict[str, float]
