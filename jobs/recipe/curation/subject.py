"""Curation of subject pairs: two pictures of one person, animal, object or idea (paper 5.3)."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe.section import Section


class SubjectCuration(Section):
    """Which pictures of a group become pairs."""

    min_similarity: float = Field(default=0.6, ge=-1, le=1)
    """Cosine of two pictures' embeddings below which they are no candidates."""
