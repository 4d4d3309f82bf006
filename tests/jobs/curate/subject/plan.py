"""The stages of subject curation, with settings under which every pair of a group is a candidate."""

from __future__ import annotations

from typing import Any

from infra.job import Job
from jobs.curate.subject import candidates, confirm, embed, group, score
from jobs.recipe import Duplicates, Filters
from jobs.recipe.curation.subject import WORDS
from jobs.recipe.sources import SubjectSource
from jobs.recipe.vlm import SourceText
from jobs.specs.subject import (
    CandidateSettings,
    ConfirmSettings,
    EmbedSettings,
    GroupSettings,
    SubjectScoreSettings,
)


def steps(
    source: SubjectSource, encoder: str, changes: dict[str, Any]
) -> dict[str, tuple[Job, tuple[str, ...], Any]]:
    """Of each stage its job, its inputs and its settings; every pair is a candidate unless changed."""
    values = {
        "source": source,
        "max_bytes": 10**7,
        "max_pixels": 10**7,
        "pretrained": encoder,
        "filters": Filters(min_entropy=0.1, min_sharpness=1, max_border=1, max_frame=1),
        "duplicates": Duplicates(max_colour_difference=4),
        "max_group": 32,
        "min_similarity": -1.0,
        "max_similarity": 1.0,
        "pairs_per_picture": 32,
        "vlm": SourceText(),
        "words": WORDS,
    } | changes
    plan: dict[str, tuple[Any, type[Any], tuple[str, ...]]] = {
        "scored": (score.run, SubjectScoreSettings, ("raw/subject",)),
        "embedded": (embed.run, EmbedSettings, ("subject/scored",)),
        "grouped": (group.run, GroupSettings, ("subject/scored",)),
        "candidates": (
            candidates.run,
            CandidateSettings,
            ("subject/grouped", "subject/embedded", "subject/scored"),
        ),
        "confirmed": (
            confirm.run,
            ConfirmSettings,
            ("subject/candidates", "subject/grouped", "subject/scored"),
        ),
    }
    return {
        name: (job, inputs, kind(**{field: values[field] for field in kind.model_fields}))
        for name, (job, kind, inputs) in plan.items()
    }
