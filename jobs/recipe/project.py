"""The recipe as a whole."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.document import Family
from jobs.recipe.curation import Curation
from jobs.recipe.section import Section
from jobs.recipe.sources import Sources
from jobs.recipe.tokenizer import Level, Tokenizer, TokenizerEvaluation, Tokens
from jobs.recipe.training import Evaluation, Model, Stage
from jobs.recipe.vlm import SourceText, VlmSettings

SampleId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
"""16 hex digits."""


class Recipe(Section):
    """A whole project. Everything a run makes is a pure function of this and the sources."""

    name: str
    seed: int = 0
    launcher: Literal["in_process", "ray_jobs"] = "in_process"
    """Where jobs run: in this process with a local Ray, or through the Ray Jobs API."""
    ray_address: str = "http://127.0.0.1:8265"
    """Of `ray_jobs`."""
    sources: Sources
    curation: Curation = Curation()
    vlm: VlmSettings = SourceText()
    """Who answers questions about pictures."""
    levels: dict[str, Level]
    tokenizer: Tokenizer
    tokenizer_evaluation: TokenizerEvaluation = TokenizerEvaluation()
    tokens: Tokens = Tokens()
    model: Model
    stages: dict[str, Stage]
    """In order: each stage starts from the one before."""
    evaluation: Evaluation = Evaluation()
    forgotten: list[SampleId] = Field(default_factory=list)
    """Documents that no pack may hold. A home has its own list, which `nextscale forget` writes."""

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        used = {"tokenizer": self.tokenizer.level}
        used |= {f"tokenizer_evaluation.levels: {n}": n for n in self.tokenizer_evaluation.levels or ()}
        used |= {f"stages.{n}": s.level for n, s in self.stages.items()}
        for where, level in used.items():
            if level not in self.levels:
                raise ValueError(f"{where} names level {level!r}; levels are {sorted(self.levels)}")
        for name, one in self.stages.items():
            if missing := sorted(set(one.families) - self._curated_families()):
                known = ", ".join(sorted(self._curated_families()))
                raise ValueError(f"stages.{name} mixes {', '.join(missing)}, but the sources give {known}")
        for stage in self.evaluation.stages:
            if stage not in self.stages:
                raise ValueError(f"evaluation names stage {stage!r}; stages are {list(self.stages)}")
        return self

    def levels_of(self, family: Family) -> tuple[str, ...]:
        """Levels at which some stage trains on a family, in the order of first use."""
        return tuple(dict.fromkeys(s.level for s in self.stages.values() if family in s.families))

    def _curated_families(self) -> set[Family]:
        """The families that the sources and the curation give."""
        found: set[Family] = set(self.sources.given()) - {"understanding", "edit"}
        edit = self.curation.edit
        if self.curation.understanding is not None:
            found.add("understanding")
        if edit is not None and (self.sources.edit is not None or edit.synthetic is not None):
            found.add("edit")
        return found
