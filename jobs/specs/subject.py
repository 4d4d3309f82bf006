"""What the jobs of subject curation are told."""

from __future__ import annotations

from typing import Annotated

from jobs.recipe import Duplicates, Filters, Section
from jobs.recipe.curation.subject import SubjectType
from jobs.recipe.section import Weights
from jobs.recipe.sources import Source
from jobs.recipe.vlm import VlmSettings


class SubjectScoreSettings(Section):
    """subject/scored, input raw/subject, or subject/fetched where pictures are named by URLs."""

    source: Source
    max_bytes: int
    max_pixels: int


class EmbedSettings(Section):
    """subject/embedded, inputs subject/scored and tokenizer/semantic."""

    source: Source
    pretrained: Annotated[str | None, Weights()] = None
    """The semantic encoder where none is trained."""


class GroupSettings(Section):
    """subject/grouped, input subject/scored."""

    filters: Filters
    duplicates: Duplicates
    max_group: int


class CandidateSettings(Section):
    """subject/candidates, inputs subject/grouped, subject/embedded and subject/scored (thumbnails)."""

    min_similarity: float
    max_similarity: float
    pairs_per_picture: int


class ConfirmSettings(Section):
    """subject/confirmed, inputs subject/candidates, subject/grouped and subject/scored (thumbnails)."""

    source: Source
    vlm: VlmSettings
    words: dict[SubjectType, list[str]]
    """Empty where a model is asked, which reads no words."""
