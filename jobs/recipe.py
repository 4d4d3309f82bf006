"""The recipe: one YAML file says a whole project. Every section of it is a typed model here.

Importing this module loads no torch, ray or cv2: Dagster reads recipes to draw the graph.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model.scales import ScaleSchedule, level_schedules


class Section(BaseModel):
    """A part of a recipe: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# Sources -------------------------------------------------------------------------------------


class FolderSource(Section):
    """A folder of pictures, each beside a `.txt` of the same name that holds its caption."""

    kind: Literal["folder"] = "folder"
    uri: str
    shard_records: int = Field(default=256, ge=1)
    """Pictures in one unit of work."""
    drop_shards: int = Field(default=64, ge=1)
    """Units in one drop, the partition people see."""


class WebDatasetSource(Section):
    """A folder of `.tar` shards: members `key.jpg` and `key.txt` (or `key.json` with `caption`)."""

    kind: Literal["webdataset"] = "webdataset"
    uri: str
    caption_key: str = "caption"
    drop_shards: int = Field(default=64, ge=1)


class ParquetSource(Section):
    """A folder of `.parquet` files with picture bytes and a caption column."""

    kind: Literal["parquet"] = "parquet"
    uri: str
    image_column: str = "image"
    caption_column: str = "caption"
    drop_shards: int = Field(default=64, ge=1)


class ScenesSource(Section):
    """The embedded world: pictures of 1 to 4 coloured shapes, drawn from a seed, with captions."""

    kind: Literal["scenes"] = "scenes"
    count: int = Field(ge=1)
    size: int = Field(default=64, ge=32, le=1024)
    """Side in pixels."""
    seed: int = 0
    shard_records: int = Field(default=500, ge=1)
    drop_shards: int = Field(default=64, ge=1)


Source = Annotated[
    FolderSource | WebDatasetSource | ParquetSource | ScenesSource, Field(discriminator="kind")
]


class Sources(Section):
    """Where each family's raw data comes from."""

    t2i: Source


# Curation ------------------------------------------------------------------------------------


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

    taxonomy: dict[str, list[str]] = {}
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


class Curation(Section):
    """Curation, family by family."""

    t2i: T2ICuration = T2ICuration()


# Tokenizer and tokens ------------------------------------------------------------------------


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

    pretrained: str | None = None
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
    vgg16: str | None = None
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
    inception: str | None = None
    """A local file with torch-fidelity's Inception weights for rFID; null: its own cache or download."""


class SelfCorrection(Section):
    """Sampled input codes that the model learns to correct (paper 2.2, 3.2.1)."""

    probability: float = Field(default=1.0, ge=0, le=1)
    """Share of the samples."""
    share: float = Field(default=0.6, ge=0, le=1)
    """Share of each scale's tokens."""
    top_k: int = Field(default=50, ge=1)


class Tokens(Section):
    """Pre-extraction of token indices."""

    self_correction: SelfCorrection = SelfCorrection()


# Transformer, packs and stages ---------------------------------------------------------------


class Model(Section):
    """The transformer: the size of a `preset` with fresh weights, or a `pretrained` language model."""

    preset: str | None = None
    """`tiny`, `small`, `2b` or `7b`."""
    pretrained: str | None = None
    """A local folder or a hub name with a Qwen2.5 or Qwen2.5-VL; the first stage starts from its text."""
    text_tokenizer: str = Field(default_factory=lambda known: known.get("pretrained") or "builtin")
    """`builtin`, a local folder, or a hub name that transformers' AutoTokenizer loads. Left out: that of
    `pretrained`, or else `builtin`."""
    input_features: Literal["residual", "accumulated"] = "residual"
    """What a scale reads: the codes of the scale before alone (paper 2.2), or the sum of all before (VAR)."""
    context_mode: Literal["shifted", "native", "final"] = "shifted"
    """How an image that is only read is fed: as a predicted one, every scale's codes on their own grid, or
    the sum of all scales on the last grid."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.preset is not None and self.pretrained is not None:
            raise ValueError("preset and pretrained exclude each other: set one of them to null")
        if self.preset is None and self.pretrained is None:
            raise ValueError("a model needs a preset, or a pretrained language model")
        return self


class Packing(Section):
    """How documents are packed into rows of equal compute."""

    max_tokens: int = Field(ge=64)
    """Token cap of one pack."""
    fill: float = Field(default=0.95, gt=0, le=1)
    """Compute budget of a pack, as the share of what a pack full of average documents costs."""


class Stage(Section):
    """One training stage (the paper's Table 2)."""

    level: str
    mixture: dict[Literal["t2i"], float] = {"t2i": 1.0}
    trainable: Literal["new", "all"] = "all"
    """`new`: only what the images brought (connector, embeddings, output rows); the alignment stage."""
    steps: int = Field(ge=1)
    packs_per_step: int = Field(default=2, ge=1)
    """Over all workers; a multiple of `workers`."""
    workers: int = Field(default=2, ge=1)
    zero_stage: Literal[1, 2, 3] = 1
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=20, ge=0)
    final_learning_rate: float = Field(default=0.1, ge=0, le=1)
    """At the last step, as a share of `learning_rate`; cosine in between."""
    weight_decay: float = Field(default=0.05, ge=0)
    caption_dropout: float = Field(default=0.1, ge=0, le=1)
    """Share of captions left out, for classifier-free guidance."""
    scale_reweight: float = Field(default=0.0, ge=0)
    """Alpha of eq. 2; the paper uses 0.9 from the 512-level on."""
    gradient_checkpointing: bool = False
    """Keep only the inputs of layers for the backward pass: far less memory for a third more compute."""
    checkpoint_every: int = Field(default=200, ge=1)
    packing: Packing

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.packs_per_step % self.workers:
            raise ValueError(f"packs_per_step {self.packs_per_step} is no multiple of workers {self.workers}")
        return self


class Sampling(Section):
    """How images are sampled."""

    guidance: float = Field(default=2.0, ge=0)
    final_guidance: float | None = Field(default=None, ge=0)
    """Of the finest scale, linear from `guidance` at the coarsest; null is the same for all."""
    image_guidance: float | None = Field(default=None, ge=0)
    """How much images count that are read, as in edits; null is as much as the text."""
    unguided_scales: int = Field(default=0, ge=0)
    """How many of the finest scales go without guidance, at half of their cost."""
    temperature: float = Field(default=1.0, gt=0)
    final_temperature: float | None = Field(default=None, gt=0)
    """Of the finest scale, linear from `temperature` at the coarsest; null is the same for all."""
    top_k: int = Field(default=0, ge=0)
    """0 keeps every code."""
    top_p: float = Field(default=1.0, gt=0, le=1)


class Evaluation(Section):
    """Fixed prompts, sampled after a stage and, where the world can, scored from the pixels."""

    stages: list[str] = []
    prompts: Literal["scenes"] | list[str] = "scenes"
    """`scenes`: prompts of the embedded world with their truth; or texts of your own, unscored."""
    samples_per_prompt: int = Field(default=4, ge=1)
    sampling: Sampling = Sampling()


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
