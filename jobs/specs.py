"""What each job is told beyond its inputs: the parts of the recipe that decide what it makes.

`JobSpec[XSettings]` is the argument of job X. Importing this module stays light, as for recipes.
"""

from __future__ import annotations

from jobs.recipe import (
    Balance,
    Captions,
    Duplicates,
    Evaluation,
    Filters,
    Level,
    Model,
    Packing,
    Section,
    Source,
    Stage,
    Tokenizer,
    Tokens,
    Topics,
)


class DropSettings(Section):
    """raw/t2i: the listing of one drop. Written by discovery, not by a job."""

    source: Source


class FilterSettings(Section):
    """t2i/filtered, input raw/t2i."""

    source: Source
    filters: Filters
    duplicates: Duplicates


class TopicSettings(Section):
    """t2i/topics, input t2i/filtered."""

    topics: Topics


class BalanceSettings(Section):
    """t2i/balanced, input t2i/topics."""

    balance: Balance


class CaptionSettings(Section):
    """t2i/captioned, input t2i/balanced: publishes the curated documents."""

    source: Source
    captions: Captions


class TokenizerSettings(Section):
    """tokenizer/joint, input t2i/captioned (all drops)."""

    tokenizer: Tokenizer
    level: Level


class TokensSettings(Section):
    """tokens/t2i, inputs t2i/captioned (one drop) and tokenizer/joint."""

    tokens: Tokens
    level_name: str
    level: Level
    model: Model


class PackSettings(Section):
    """packs/<stage>, inputs tokens/<family> (all drops at the stage's level)."""

    stage_name: str
    mixture: dict[str, float]
    packing: Packing
    model: Model


class TrainSettings(Section):
    """training/<stage>, inputs packs/<stage>, tokenizer/joint and the stage before, if any."""

    stage_name: str
    stage: Stage
    model: Model


class EvaluateSettings(Section):
    """evaluation/<stage>/fixed_prompts, inputs training/<stage> and tokenizer/joint."""

    evaluation: Evaluation
    level: Level
    model: Model
