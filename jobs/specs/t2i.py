"""What the jobs of text-to-image curation are told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.recipe import Balance, Captions, Duplicates, Filters, Section, Source, Topics
from jobs.recipe.curation.t2i import Embedding, Selection
from jobs.recipe.section import Weights
from jobs.recipe.vlm import VlmSettings


class ScoreSettings(Section):
    """t2i/scored, input raw/t2i or what was fetched. No threshold is here, so changing one scores nothing."""

    source: Source
    max_bytes: int
    """Encoded size, and width times height: limits of what is decoded at all."""
    max_pixels: int


class FilterSettings(Section):
    """t2i/filtered, input t2i/scored."""

    filters: Filters
    duplicates: Duplicates


class EmbedSettings(Section):
    """t2i/embedded, input t2i/scored; and tokenizer/semantic where that encoder is trained."""

    source: Source
    max_pixels: int
    embedding: Embedding
    pretrained: Annotated[str | None, Weights()] = None
    """The semantic encoder where none is trained."""


class SelectSettings(Section):
    """t2i/selected, inputs t2i/filtered, t2i/embedded and, for what people see, t2i/scored."""

    selection: Selection


class TopicSettings(Section):
    """t2i/topics, input t2i/selected, or t2i/filtered where nothing is embedded; by picture also t2i/embedded
    and, where it is trained, tokenizer/semantic for the words."""

    topics: Topics
    order: list[str]
    """Of the topics in the recipe: the first with a hit wins, and mappings are compared without an order."""
    embedding: Embedding | None = None
    """Of topics by picture: whose words are embedded."""
    pretrained: Annotated[str | None, Weights()] = None
    """The semantic encoder where none is trained."""


class BalanceSettings(Section):
    """t2i/balanced, input t2i/topics."""

    balance: Balance


class CaptionSettings(Section):
    """t2i/captioned, input t2i/balanced: publishes the curated documents."""

    source: Source
    captions: Captions
    vlm: VlmSettings | None = Field(default=None)
    """Who captions, where the source does not."""
