"""What the jobs that curate edits are told."""

from __future__ import annotations

from jobs.recipe.curation.edit import EditFilters, EditLimits
from jobs.recipe.section import Section
from jobs.recipe.sources import Source
from jobs.recipe.vlm import VlmSettings


class EditScoreSettings(Section):
    """edit/scored, input raw/edit (one drop): every pair measured, without thresholds."""

    source: Source
    limits: EditLimits


class EditMatchSettings(Section):
    """edit/size_matched, input edit/scored (one drop)."""

    filters: EditFilters


class EditJudgeSettings(Section):
    """edit/judged, input edit/size_matched (one drop): verdicts and tasks."""

    source: Source
    judge: VlmSettings
    """`source` where the verdict is measured."""
    tasks: VlmSettings
    """`source` where words of the instruction say the task."""


class EditSubsetSettings(Section):
    """edit/subsets, input edit/judged (all drops): which subsets are dropped."""

    min_score: int
    max_changed: float | None
    """None where a model judges."""
    max_bad: float
    min_judged: int


class EditAuditSettings(Section):
    """edit/audited, inputs edit/judged, edit/scored (one drop) and edit/subsets: publishes documents."""

    source: Source
    min_score: int
    max_changed: float | None
    """None where a model judges."""


class EditMixSettings(Section):
    """edit/mixed, inputs edit/audited and edit/synthetic (all drops), those that there are."""

    target: dict[str, float]
    met: float
