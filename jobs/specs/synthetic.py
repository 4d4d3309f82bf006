"""What the job is told that makes edits from curated pictures."""

from __future__ import annotations

from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.recipe.section import Section


class SyntheticSettings(Section):
    """edit/synthetic, input t2i/captioned (one drop)."""

    synthetic: SyntheticEdits
    target: dict[str, float]
    """Weight of each task; those that can be made approach them."""
    max_pixels: int
    """Width times height beyond which a picture is not decoded."""
