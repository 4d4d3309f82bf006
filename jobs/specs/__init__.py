"""What each job is told beyond its inputs: the parts of the recipe that decide what it makes.

`JobSpec[XSettings]` is the argument of job X. Importing this module stays light, as for recipes.
"""

from __future__ import annotations

from typing import Annotated, Literal

from jobs.recipe import (
    ContextMode,
    Evaluation,
    Level,
    Model,
    Packing,
    Section,
    SemanticEncoder,
    Stage,
    TokenizerEvaluation,
    TokenizerShared,
    TokenizerStage,
    Tokens,
)
from jobs.recipe.section import Weights


class SemanticSettings(Section):
    """tokenizer/semantic, inputs t2i/filtered and t2i/scored (all drops): a small SigLIP2 of the preset's
    size."""

    semantic: SemanticEncoder
    preset: str
    text_tokenizer: Annotated[str, Weights()]


class FaceSettings(Section):
    """tokenizer/faces, input t2i/captioned (one drop): which pictures show a face."""


class TokenizerSettings(Section):
    """tokenizer/<stage>, inputs t2i/captioned (all drops), tokenizer/faces (all drops, if faces count) and
    what the stage starts from: nothing, tokenizer/pixel and tokenizer/semantic, or tokenizer/joint."""

    stage_name: Literal["pixel", "joint", "decoder"]
    stage: TokenizerStage
    tokenizer: TokenizerShared
    level: Level
    pretrained: Annotated[str | None, Weights()] = None
    """Of `joint`: the semantic encoder where none is trained."""


class TokenizerEvaluationSettings(Section):
    """evaluation/tokenizer, inputs t2i/captioned (all drops), tokenizer/pixel, joint and decoder."""

    evaluation: TokenizerEvaluation
    levels: dict[str, Level]
    train_level: Level
    vgg16: Annotated[str | None, Weights()]


class TokensSettings(Section):
    """tokens/<name>, inputs curated documents (one drop, or all) and tokenizer/joint; for texts the first
    alone, without a level."""

    tokens: Tokens
    text_tokenizer: Annotated[str, Weights()]
    context_mode: ContextMode
    """How images that are only read are fed: what a document takes in a pack depends on it."""
    level_name: str | None = None
    level: Level | None = None


class PackSettings(Section):
    """packs/<stage>, inputs tokens/<name> (all drops at the stage's level) and tokenizer/joint."""

    stage_name: str
    mixture: dict[str, float]
    packing: Packing
    model: Model
    packs_per_step: int = 1
    """How many packs train together: what figures of balance are about. No pack depends on it, and packs that
    are there keep the figures of the number that they were packed with."""
    forgotten: tuple[int, ...] = ()
    """Sample ids that no pack may hold."""


class TrainSettings(Section):
    """training/<stage>, inputs packs/<stage>, tokenizer/joint and the stage before, if any."""

    stage_name: str
    stage: Stage
    model: Model


class EvaluateSettings(Section):
    """evaluation/<stage>/fixed_prompts, inputs training/<stage> and tokenizer/decoder."""

    evaluation: Evaluation
    level: Level
    model: Model
