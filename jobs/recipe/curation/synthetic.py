"""Edits made from curated pictures, for the tasks that public data has too few of (paper 5.3.1)."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe.section import Section


class SyntheticEdits(Section):
    """How many edits are made, and of what. Their tasks approach `curation.edit.target`."""

    per_picture: float = Field(default=1.0, ge=0, le=12)
    """Edits planned for each curated picture; of a fraction, that share of the pictures has one more."""
    max_side: int = Field(default=1024, ge=64)
    """Pixels; larger pictures are scaled down before they are edited."""
    min_object: int = Field(default=48, ge=1)
    """Pixels of the longer side of a cut-out object below which it is not put into pictures."""
    min_changed: float = Field(default=0.005, ge=0, le=1)
    """Share of the pixels that an edit changes visibly; with less, nothing has changed."""
