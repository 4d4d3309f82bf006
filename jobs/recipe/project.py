"""The recipe as a whole."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from jobs.recipe.curation import Curation
from jobs.recipe.section import Section
from jobs.recipe.sources import Sources
from jobs.recipe.tokenizer import Level, Tokenizer, TokenizerEvaluation, Tokens
from jobs.recipe.training import Evaluation, Model, Stage
from jobs.recipe.vlm import SourceText, VlmSettings


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

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        used = {"tokenizer": self.tokenizer.level}
        used |= {f"tokenizer_evaluation.levels: {n}": n for n in self.tokenizer_evaluation.levels or ()}
        used |= {f"stages.{n}": s.level for n, s in self.stages.items()}
        for where, level in used.items():
            if level not in self.levels:
                raise ValueError(f"{where} names level {level!r}; levels are {sorted(self.levels)}")
        for stage in self.evaluation.stages:
            if stage not in self.stages:
                raise ValueError(f"evaluation names stage {stage!r}; stages are {list(self.stages)}")
        return self

    @property
    def token_levels(self) -> list[str]:
        """Levels that some stage trains on, in the order of first use."""
        return list(dict.fromkeys(stage.level for stage in self.stages.values()))
