"""Curation of edits: pictures before and after, and the instruction between them (paper 5.3)."""

from __future__ import annotations

from pydantic import Field

from jobs.recipe.section import Section


class EditCuration(Section):
    """Which edits stay, and which are made."""

    max_bad: float = Field(default=0.05, ge=0, le=1)
    """A subset with a larger share of edits that do not follow their instruction is dropped as a whole."""
