"""Resolution levels, the image tokenizer and its trainings, and the extraction of tokens."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from jobs.recipe.section import Section, Weights
from model.scales import ScaleSchedule, level_schedules


class Level(Section):
    """A resolution level: the scale schedules its pictures are bucketed into."""

    schedule: Literal["table14"] | list[int]
    """`table14`: the paper's 41 aspect ratios; a list: the sides of square grids, coarse to fine."""
    scales: int | None = Field(default=None, ge=1, le=18)
    """Of `table14`: 12 is the 256-level, 16 the 512-level, 18 the 1024-level."""
    cell: int = Field(default=16, ge=1)
    """Pixels per side of one grid cell of the finest scale: the tokenizer's stride."""
    margin: int = Field(default=0, ge=0)
    """Pixels per side beyond the last whole cell: SigLIP's 384 pixels are 27 cells of 14, and 6."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.schedule == "table14" and self.scales is None:
            raise ValueError("a table14 level needs scales: 12, 16 or 18")
        if isinstance(self.schedule, list) and (not self.schedule or self.schedule[0] != 1):
            raise ValueError("a list of grid sides starts with 1")
        return self

    def schedules(self) -> tuple[ScaleSchedule, ...]:
        """The scale schedules themselves."""
        return level_schedules(self.schedule, self.scales, self.cell, self.margin)


class SemanticEncoder(Section):
    """The encoder that gives the codes their meaning, and topics theirs: SigLIP2's shape.

    Without `pretrained`, one of the tokenizer preset's size is trained on captioned pictures (sigmoid loss).
    """

    pretrained: Annotated[str | None, Weights()] = None
    """A local folder or a hub name with a SigLIP2 NaFlex model; nothing is trained then."""
    steps: int = Field(default=400, ge=1)
    batch_size: int = Field(default=64, ge=2)
    """Pairs per step, each of which is a negative for all others."""
    learning_rate: float = Field(default=1e-3, gt=0)
    warmup_steps: int = Field(default=50, ge=0)
    checkpoint_every: int = Field(default=200, ge=1)
    pictures: int = Field(default=20_000, ge=2)
    """At most so many are trained on: those with the smallest ids, which are hashes."""
    side: int = Field(default=64, ge=8)
    """Pixels per side in training, a multiple of the preset's patch; pictures are cropped to squares."""


class TokenizerStage(Section):
    """One of the tokenizer's three trainings (paper 3.1)."""

    steps: int = Field(ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_steps: int = Field(default=50, ge=0)
    adversarial_start: int | None = Field(default=None, ge=0)
    """Step from which the discriminator takes part; null: it never does."""


class TokenizerLosses(Section):
    """Weights of the tokenizer's losses; the defaults are TokenFlow's."""

    reconstruction: float = Field(default=1.0, ge=0)
    """Mean squared error of pixels in [-1, 1]."""
    perceptual: float = Field(default=1.0, ge=0)
    """LPIPS. 0 needs no VGG-16 weights."""
    adversarial: float = Field(default=0.5, ge=0)
    """Hinge loss of the patch discriminator, from `adversarial_start` on."""
    codebook: float = Field(default=1.0, ge=0)
    commitment: float = Field(default=0.25, ge=0)
    semantic: float = Field(default=1.0, ge=0)
    """1 - cosine of decoded semantic features and the frozen teacher's."""


class TokenizerShared(Section):
    """What the three trainings of the image tokenizer have in common."""

    preset: str
    level: str
    """Level whose schedules the tokenizer trains on."""
    batch_size: int = Field(default=16, ge=1)
    """Pictures per step, over all workers; a multiple of `workers`."""
    workers: int = Field(default=2, ge=1)
    checkpoint_every: int = Field(default=200, ge=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the moving average of weights that is published, such as 0.9999; null publishes the last."""
    losses: TokenizerLosses = TokenizerLosses()
    vgg16: Annotated[str | None, Weights()] = None
    """A local file with torchvision's VGG-16 weights for LPIPS; null: torch's own cache or download."""
    face_oversampling: int = Field(default=1, ge=1)
    """How often a picture with a face is shown in an epoch; 1 looks for no faces."""
    min_psnr: float = Field(default=15.0, gt=0)
    """Decibels on held-out pictures below which the blocking check fails."""
    min_codebook_use: float = Field(default=0.05, gt=0, le=1)
    """Share of the codebook in use below which the blocking check fails."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % self.workers:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of workers {self.workers}")
        return self


class Tokenizer(TokenizerShared):
    """The image tokenizer and its trainings: pixel branch alone, both branches, larger pixel decoder."""

    drops: list[str] | None = Field(default=None, min_length=1)
    """Drops of pictures that it is trained on, such as `t2i-0000`; null: all, so that new ones ask for a new
    training, and all tokens for a new extraction. Name them once the tokenizer is good."""
    semantic: SemanticEncoder = SemanticEncoder()
    pixel: TokenizerStage
    """The pixel branch alone, so that it is not dominated by the semantic one."""
    joint: TokenizerStage
    """Both branches with one index, everything warm-started."""
    decoder: TokenizerStage
    """A pixel decoder of twice the width and depth alone; indices stay as they are."""


class TokenizerEvaluation(Section):
    """How the tokenizer is measured (paper 6.6, Table 12)."""

    pictures: int = Field(default=256, ge=2)
    """Held-out pictures at most."""
    levels: list[str] | None = None
    """Levels to measure at; null: the one it trains on."""
    lpips: bool = False
    """Measure LPIPS (needs VGG-16, see tokenizer.vgg16)."""
    rfid: bool = False
    """Measure rFID (needs Inception)."""
    inception: Annotated[str | None, Weights()] = None
    """A local file with torch-fidelity's Inception weights for rFID; null: its own cache or download."""


class SelfCorrection(Section):
    """Sampled input codes that the model learns to correct (paper 2.2, 3.2.1)."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """Share of the samples."""
    share: float = Field(default=0.6, ge=0, le=1)
    """Share of each scale's tokens."""
    top_k: int = Field(default=50, ge=1)


Device = Literal["cpu", "cuda"]


class Tokens(Section):
    """Pre-extraction of token indices."""

    self_correction: SelfCorrection = SelfCorrection()
    device: Device = "cpu"
    """What pictures are encoded on. Floats are rounded in other ways on a GPU, so some codes differ."""
    min_psnr: float = Field(default=10.0, ge=0)
    """Decibels of pictures decoded back from their tokens below which the blocking check fails."""
    max_errored: float = Field(default=0.02, ge=0, le=1)
    """Share of the documents that may end in an error before the blocking check fails; one always may."""
    workers: int | None = Field(default=None, ge=1)
    """Parallel workers; null: all cores, or as many as the GPUs carry."""
    gpus_per_worker: float = Field(default=1.0, gt=0)
    """Of `cuda`; below 1, workers share a GPU."""
    prefetch: int = Field(default=64, ge=0)
    """Pictures that a worker decodes ahead of encoding; 0 decodes and encodes in turn."""
