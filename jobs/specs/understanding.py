"""What the jobs that curate picture understanding are told."""

from __future__ import annotations

from jobs.recipe.curation.understanding import Dialogues, TextRich
from jobs.recipe.section import Section
from jobs.recipe.sources import Source
from jobs.recipe.vlm import VlmSettings


class ReadTextSettings(Section):
    """understanding/read, input t2i/captioned (one drop): the text in every picture, without thresholds."""


class WriteSettings(Section):
    """understanding/written, inputs t2i/captioned and, with text_rich, understanding/read (one drop)."""

    rewritten: float
    knowledge: float
    inverted: float
    text_rich: TextRich | None
    vlm: VlmSettings


class CheckDialoguesSettings(Section):
    """understanding/checked, input raw/understanding (one drop): dialogues measured, without thresholds."""

    source: Source
    max_bytes: int
    max_pixels: int


class DialoguesSettings(Section):
    """understanding/dialogues, input understanding/checked (one drop): publishes the curated documents."""

    source: Source
    dialogues: Dialogues
