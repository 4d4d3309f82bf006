"""Curation of picture understanding: pictures first, then text about them (paper 5.1)."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from jobs.recipe.section import Section


class TextRich(Section):
    """What makes a picture one that is read. Text is found by optical character recognition."""

    min_characters: int = Field(default=8, ge=1)
    min_confidence: float = Field(default=0.8, ge=0, le=1)
    """Mean confidence of the lines found."""


class Dialogues(Section):
    """Limits of dialogues that a source brings along."""

    max_bytes: int = Field(default=50_000_000, ge=1)
    """Of one picture. Checked before decoding, as are the pixels."""
    max_pixels: int = Field(default=100_000_000, ge=1)
    min_side: int = Field(default=32, ge=1)
    max_characters: int = Field(default=20_000, ge=1)
    """Of all turns together."""


class UnderstandingCuration(Section):
    """What curated pictures are asked. The shares are of all pictures; what is left of them is not used."""

    rewritten: float = Field(default=0.5, ge=0, le=1)
    """Captions rewritten by a vision-language model, or taken as they are where there is none."""
    knowledge: float = Field(default=0.1, ge=0, le=1)
    """Questions of knowledge about what is shown."""
    inverted: float = Field(default=0.1, ge=0, le=1)
    """Text-to-image documents the other way round: the picture first, then its caption."""
    text_rich: TextRich | None = TextRich()
    """Pictures with text in them are asked about it, whatever their share; null looks for none."""
    dialogues: Dialogues = Dialogues()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (total := self.rewritten + self.knowledge + self.inverted) > 1 + 1e-9:
            raise ValueError(f"rewritten, knowledge and inverted are shares, and add up to {total:g}")
        return self
