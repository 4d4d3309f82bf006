"""Curation of text (paper 5.5)."""

from __future__ import annotations

import math
from typing import Self

from pydantic import Field, model_validator

from jobs.recipe.section import Section


class TextFilters(Section):
    """Thresholds of quality: Gopher's rules (Rae et al., arXiv 2112.11446, A1), in shares and counts."""

    min_characters: int = Field(default=200, ge=1)
    max_characters: int = Field(default=200_000, ge=1)
    min_words: int = Field(default=50, ge=1)
    min_word_length: float = Field(default=3.0, ge=0)
    """Characters of a word, on average."""
    max_word_length: float = Field(default=10.0, ge=1)
    max_symbols: float = Field(default=0.1, ge=0)
    """Of `#` and ellipses, per word."""
    min_alphabetic: float = Field(default=0.8, ge=0, le=1)
    """Share of words with a letter in them. Lower it for mathematics."""
    min_stop_words: int = Field(default=2, ge=0)
    """Of English words that stand in nearly every text; 0 for other languages."""
    max_bullet_lines: float = Field(default=0.9, ge=0, le=1)
    max_ellipsis_lines: float = Field(default=0.3, ge=0, le=1)
    max_repeated_lines: float = Field(default=0.3, ge=0, le=1)
    """Share of lines that stood before."""
    max_top_phrase: float = Field(default=0.2, ge=0, le=1)
    """Share of the characters that the most frequent pair of words takes."""


class TextDuplicates(Section):
    """When two texts of a drop count as one."""

    min_similarity: float = Field(default=0.8, gt=0, le=1)
    """Jaccard similarity of their sets of five neighbouring words, estimated by MinHash."""


class TextCuration(Section):
    """Which texts stay, and how much of each subset."""

    max_bytes: int = Field(default=10_000_000, ge=1)
    """Of one text, before it is looked at."""
    filters: TextFilters = TextFilters()
    duplicates: TextDuplicates = TextDuplicates()
    weights: dict[str, float] = Field(default_factory=dict)
    """Share of each subset in the mix, by characters, up to a common factor. Subsets are the parts of a `mix`
    source. Left out: everything is taken as it comes."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = self.weights.values()
        if not all(0 <= weight < math.inf for weight in weights) or (weights and not any(weights)):
            raise ValueError("weights are finite numbers that are not negative, one of them above 0")
        return self
