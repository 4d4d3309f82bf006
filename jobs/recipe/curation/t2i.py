"""Curation of text-to-image data."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from jobs.recipe.section import Section


class Filters(Section):
    """Thresholds of the heuristic picture filters. A score beyond its threshold is a rejection."""

    max_bytes: int = Field(default=50_000_000, ge=1)
    """Encoded size. Checked before decoding."""
    max_pixels: int = Field(default=100_000_000, ge=1)
    """Width times height from the header. Checked before decoding."""
    min_side: int = Field(default=64, ge=1)
    max_aspect: float = Field(default=4.0, ge=1)
    """Longer side over shorter side. The schedules cover 1:4 to 4:1."""
    min_entropy: float = Field(default=1.0, ge=0)
    """Bits of the luminance histogram; a near-solid picture has few."""
    min_sharpness: float = Field(default=5.0, ge=0)
    """Variance of the Laplacian of the luminance at 256 pixels; a blurred picture has little."""
    max_border: float = Field(default=0.4, ge=0, le=1)
    """Share of the picture that is a uniform frame around the content."""


class Duplicates(Section):
    """When two pictures count as one."""

    max_distance: int = Field(default=2, ge=0, le=16)
    """Hamming distance between 64-bit perceptual hashes; the colours must agree too."""
    max_colour_difference: float = Field(default=8.0, ge=0)
    """Of the 8x8 cells the one that differs most: mean over its channels, in 0..255 steps."""


class Topics(Section):
    """Topics and the words that stand for them, in a caption or for what a picture shows."""

    taxonomy: dict[str, list[str]] = Field(default_factory=dict)
    other: str = "other"
    by: Literal["caption", "picture"] = "caption"
    """`caption`: the first topic with a word in the caption. `picture`: the topic whose words the semantic
    encoder finds nearest to the picture (zero-shot)."""
    prompt: str = "{}"
    """Of `picture`: the sentence a word is put into, such as `a photo of a {}`."""
    min_probability: float = Field(default=0.0, ge=0, le=1)
    """Of `picture`: below this probability of the best topic, softmax over topics, the topic is `other`."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "{}" not in self.prompt:
            raise ValueError(f"prompt {self.prompt!r} has no {{}} for the word")
        return self


class Balance(Section):
    """Resampling to a flatter topic distribution."""

    max_share: float = Field(default=1.0, gt=0, le=1)
    """No topic keeps more than this share of the balanced set; 1 keeps everything."""


class Captions(Section):
    """Normalising the source's own captions."""

    min_characters: int = Field(default=3, ge=1)
    max_characters: int = Field(default=2000, ge=1)


class T2ICuration(Section):
    """Curation of text-to-image data."""

    filters: Filters = Filters()
    duplicates: Duplicates = Duplicates()
    topics: Topics = Topics()
    balance: Balance = Balance()
    captions: Captions = Captions()
