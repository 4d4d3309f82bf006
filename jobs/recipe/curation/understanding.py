"""Curation of picture understanding: pictures first, then text about them (paper 5.2)."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe.section import Section


class UnderstandingCuration(Section):
    """What is asked of curated pictures, as shares of them."""

    inverted: float = Field(default=0.1, ge=0, le=1)
    """Text-to-image documents read the other way round: the picture first, then its caption."""
