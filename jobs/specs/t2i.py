"""What the jobs of text-to-image curation are told."""

from __future__ import annotations

from jobs.recipe import Balance, Captions, Duplicates, Filters, Section, Source, Topics


class FilterSettings(Section):
    """t2i/filtered, input raw/t2i."""

    source: Source
    filters: Filters
    duplicates: Duplicates


class TopicSettings(Section):
    """t2i/topics, input t2i/filtered; and tokenizer/semantic where pictures tell their topic."""

    topics: Topics
    pretrained: str | None = None
    """The semantic encoder where none is trained."""


class BalanceSettings(Section):
    """t2i/balanced, input t2i/topics."""

    balance: Balance


class CaptionSettings(Section):
    """t2i/captioned, input t2i/balanced: publishes the curated documents."""

    source: Source
    captions: Captions
