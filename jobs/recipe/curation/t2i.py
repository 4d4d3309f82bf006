"""Curation of text-to-image data."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.recipe.section import Section, Weights


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
    max_frame: float = Field(default=0.05, ge=0, le=1)
    """Share of the picture that is bands of one colour along its sides, with or without writing on them:
    letterboxes, captions and watermarks around the content. Set it to 1 for drawings on plain ground: a large
    square looks like a picture in a frame."""


class Duplicates(Section):
    """When two pictures of a drop count as one."""

    max_distance: int = Field(default=2, ge=0, le=16)
    """Hamming distance between 64-bit perceptual hashes; the colours must agree too."""
    max_colour_difference: float = Field(default=8.0, ge=0)
    """Of the 8x8 cells the one that differs most: mean over its channels, in 0..255 steps."""


class SemanticEmbedder(Section):
    """The project's own semantic encoder: trained, or the one that `tokenizer.semantic.pretrained` names."""

    kind: Literal["semantic"] = "semantic"


class OpenClipEmbedder(Section):
    """A published model, loaded with open_clip."""

    kind: Literal["open_clip"] = "open_clip"
    model: Annotated[str, Weights()] = Field(
        default="hf-hub:timm/ViT-SO400M-16-SigLIP2-384", pattern="^(hf-hub|local-dir):."
    )
    """`hf-hub:owner/name`, or `local-dir:` with a folder in which such a model lies."""


class MeasuredAesthetic(Section):
    """From 0 to 10: how colourful, contrasty and sharp a picture is. No download; it knows nothing of
    composition, subject or taste, and its numbers do not compare with those of a trained predictor."""

    kind: Literal["measures"] = "measures"


class LaionAesthetic(Section):
    """LAION's improved aesthetic predictor: people's ratings from 1 to 10, predicted from CLIP embeddings."""

    kind: Literal["laion"] = "laion"
    weights: Annotated[str, Weights()]
    """A `.safetensors` or `.pth` file in LAION's layout, `layers.0.weight` and so on, or
    `hf-hub:owner/name/file`. Nothing is unpickled."""
    clip: Annotated[str, Weights()] = Field(
        default="hf-hub:timm/vit_large_patch14_clip_224.openai", pattern="^(hf-hub|local-dir):."
    )
    """The CLIP that the predictor was trained on, for open_clip."""


class Embedding(Section):
    """What pictures mean, as vectors, and how they look."""

    encoder: Annotated[SemanticEmbedder | OpenClipEmbedder, Field(discriminator="kind")] = SemanticEmbedder()
    aesthetic: Annotated[MeasuredAesthetic | LaionAesthetic, Field(discriminator="kind")] = (
        MeasuredAesthetic()
    )


class Selection(Section):
    """What stays by looks and by meaning. The defaults keep everything."""

    min_aesthetic: float | None = None
    """Least aesthetic score, on the scale of `embedding.aesthetic`."""
    min_similarity: float | None = Field(default=None, gt=0, le=1)
    """Cosine of two pictures' embeddings from which they count as one; the first of a drop stays."""


class Topics(Section):
    """Topics and the words that stand for them, in a caption or for what a picture shows."""

    taxonomy: dict[str, list[str]] = Field(default_factory=dict)
    other: str = "other"
    by: Literal["caption", "picture"] = "caption"
    """`caption`: the first topic with a word in the caption. `picture`: the topic whose words lie nearest to
    the picture's embedding (zero-shot)."""
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
    """Resampling to a flatter topic distribution: a cap for every topic, or quotas."""

    max_share: float = Field(default=1.0, gt=0, le=1)
    """No topic keeps more than this share of the balanced set; 1 keeps everything."""
    target: Literal["even"] | dict[str, float] | None = None
    """Quotas instead of the cap: a weight for each topic, or the same for all that are found. A topic without
    a weight keeps nothing. No picture is repeated, so a topic with too few keeps what it has."""
    total: int | None = Field(default=None, ge=1)
    """Of `target`: pictures of a drop that the quotas share out. Left out: as many as leave no topic that
    has pictures short."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        weights = self.target if isinstance(self.target, dict) else {"": 1.0}
        if min(weights.values(), default=0) < 0 or not sum(weights.values()) > 0:
            raise ValueError("target needs weights that are not negative, one of them above 0")
        if self.target is not None and self.max_share < 1:
            raise ValueError("max_share and target exclude each other; take one of them out")
        if self.target is None and self.total is not None:
            raise ValueError("total belongs to target, which is not there")
        return self


class Captions(Section):
    """Where captions come from, and their limits."""

    by: Literal["source", "vlm"] = "source"
    """`source`: as the source has them. `vlm`: whoever the section `vlm` names looks at the picture, and is
    told the source's caption."""
    min_characters: int = Field(default=3, ge=1)
    max_characters: int = Field(default=2000, ge=1)


class T2ICuration(Section):
    """Curation of text-to-image data."""

    filters: Filters = Filters()
    duplicates: Duplicates = Duplicates()
    embedding: Embedding | None = None
    """Null embeds nothing, unless topics are told by picture."""
    selection: Selection = Selection()
    topics: Topics = Topics()
    balance: Balance = Balance()
    captions: Captions = Captions()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.selection != Selection() and self.embedded is None:
            raise ValueError("selection works on embeddings; add `embedding: {}`")
        target = self.balance.target
        topics = sorted({*self.topics.taxonomy, self.topics.other})
        if isinstance(target, dict) and (unknown := sorted(target.keys() - set(topics))):
            words = ", ".join(map(repr, unknown))
            raise ValueError(f"balance.target names {words}, the topics are: {', '.join(map(repr, topics))}")
        return self

    @property
    def embedded(self) -> Embedding | None:
        """How pictures are embedded, or None where nothing asks for it."""
        by_picture = self.topics.by == "picture"
        return self.embedding or (Embedding() if by_picture else None)
