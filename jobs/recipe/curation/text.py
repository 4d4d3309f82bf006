"""Curation of text (paper 5.5)."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe.section import Section


class TextCuration(Section):
    """Which texts stay, and how much of each subset."""

    min_characters: int = Field(default=200, ge=1)
    max_characters: int = Field(default=200_000, ge=1)
