"""Curation of edits: pictures before and after, and the instruction between them (paper 5.3)."""

from __future__ import annotations

import math
from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.recipe.curation.synthetic import SyntheticEdits
from jobs.recipe.section import Section

EditType = Literal["local", "global", "view", "text", "style"]

EditTask = Literal[
    "add",
    "remove",
    "replace",
    "recolour",
    "move",
    "resize",
    "background",
    "lighting",
    "zoom",
    "viewpoint",
    "text",
    "style",
]

TASKS: dict[EditTask, EditType] = {
    "add": "local",
    "remove": "local",
    "replace": "local",
    "recolour": "local",
    "move": "local",
    "resize": "local",
    "background": "global",
    "lighting": "global",
    "zoom": "view",
    "viewpoint": "view",
    "text": "text",
    "style": "style",
}
"""Kinds of edits with their high-level type, after Figure 15. Crops, pans and flips are `viewpoint`."""

TargetTask = EditTask | Literal["other"]


def even_target() -> dict[TargetTask, float]:
    """The same weight for every task."""
    weights: dict[TargetTask, float] = dict.fromkeys(TASKS, 1.0)
    return weights


class EditLimits(Section):
    """What is not decoded."""

    max_bytes: int = Field(default=50_000_000, ge=1)
    """Encoded size of one picture."""
    max_pixels: int = Field(default=100_000_000, ge=1)
    """Width times height of one picture, from the header."""
    max_pictures: int = Field(default=8, ge=2)
    """Pictures of one edit, the one after included."""


class EditFilters(Section):
    """When pictures and an instruction are no edit. A score beyond its threshold is a rejection."""

    min_characters: int = Field(default=3, ge=1)
    """Of the instruction, after normalising."""
    max_characters: int = Field(default=2000, ge=1)
    min_side: int = Field(default=64, ge=1)
    """Shorter side of any picture, in pixels."""
    max_aspect_difference: float = Field(default=0.01, ge=0)
    """Share by which the aspect ratio after may differ from the one before."""
    max_size_difference: float | None = Field(default=0.0, ge=0)
    """Share by which a side may be longer after or before; null asks for the aspect ratio alone."""
    min_changed: float = Field(default=0.0002, ge=0, le=1)
    """Share of the pixels that an edit changes visibly; with less, nothing has changed."""


class EditCuration(Section):
    """Which edits stay, and which are made."""

    limits: EditLimits = EditLimits()
    filters: EditFilters = EditFilters()
    judge: Literal["measured", "vlm"] = "measured"
    """Who says whether an edit follows its instruction. `measured`: nobody is asked; the truth that comes
    with drawn scenes is checked, and others are bad where a local edit has changed all. `vlm`: `vlm`."""
    tasks: Literal["words", "vlm"] = "words"
    """Who says which task an edit is of, where its source does not: words of the instruction, or `vlm`."""
    max_changed: float = Field(default=0.9, ge=0, le=1)
    """Of `measured`, for edits without a truth: share of visibly changed pixels beyond which a local edit
    has changed all, and is bad."""
    min_score: int = Field(default=7, ge=0, le=10)
    """An edit with a lower score is bad, as is one that the judge says does not follow its instruction."""
    max_bad: float = Field(default=0.05, ge=0, le=1)
    """A subset with a larger share of bad edits is dropped as a whole."""
    min_judged: int = Field(default=20, ge=1)
    """A subset with fewer edits is not dropped, for its share says too little."""
    target: dict[TargetTask, float] = Field(default_factory=even_target)
    """Weight of each task in what stays; one that is not named has none. The default is an even share per
    task: Figure 15 shows a distribution that is "significantly more balanced" than public data, without its
    numbers. `other` are edits whose task nobody can say."""
    met: float = Field(default=0.5, ge=0, le=1)
    """Share of the target, by weight of the tasks that there are, that is met in full. The tasks beyond it
    may have fewer edits than their weight asks for, and keep all. With 1 every task has its share and the
    scarcest decides how many edits stay; with 0 all stay."""
    synthetic: SyntheticEdits | None = None
    """Edits made from curated pictures; null makes none."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = self.target.values()
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise ValueError("target needs finite weights that are not negative, one of them above 0")
        return self
