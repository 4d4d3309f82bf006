"""The transformer, packs, training stages, and how their pictures are sampled."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from infra.document import Family
from jobs.recipe.packing import Packing
from jobs.recipe.section import Section, Weights

ContextMode = Literal["shifted", "native", "final"]
"""How an image that is only read is fed: as a predicted one, every scale's codes on their own grid, or the
sum of all scales on the last grid."""


class Model(Section):
    """The transformer: the size of a `preset` with fresh weights, or a `pretrained` language model."""

    preset: str | None = None
    """`tiny`, `small`, `2b` or `7b`."""
    pretrained: Annotated[str | None, Weights()] = None
    """A local folder or a hub name with a Qwen2.5 or Qwen2.5-VL; the first stage starts from its text."""
    text_tokenizer: Annotated[str, Weights()] = Field(
        default_factory=lambda known: known.get("pretrained") or "builtin"
    )
    """`builtin`, a local folder, or a hub name that transformers' AutoTokenizer loads. Left out: that of
    `pretrained`, or else `builtin`."""
    input_features: Literal["residual", "accumulated"] = "residual"
    """What a scale reads: the codes of the scale before alone (paper 2.2), or the sum of all before (VAR)."""
    context_mode: ContextMode = "shifted"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.preset is not None and self.pretrained is not None:
            raise ValueError("preset and pretrained exclude each other: set one of them to null")
        if self.preset is None and self.pretrained is None:
            raise ValueError("a model needs a preset, or a pretrained language model")
        return self


class Stage(Section):
    """One training stage (the paper's Table 2)."""

    level: str
    mixture: dict[Family, Annotated[float, Field(ge=0)]] = Field(default={"t2i": 1.0})
    """Each family's weight: its share of the tokens, relative to the others'."""
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
        if not self.families:
            raise ValueError("mixture: no family has a weight above 0")
        return self

    @property
    def families(self) -> tuple[Family, ...]:
        """The families that are mixed."""
        return tuple(family for family, weight in self.mixture.items() if weight > 0)


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

    stages: list[str] = Field(default_factory=list)
    prompts: Literal["scenes"] | list[str] = "scenes"
    """`scenes`: prompts of the embedded world with their truth; or texts of your own, unscored."""
    samples_per_prompt: int = Field(default=4, ge=1)
    sampling: Sampling = Sampling()
