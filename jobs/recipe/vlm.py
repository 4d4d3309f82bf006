"""Who answers questions about pictures: captions, judgements, subjects."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from jobs.recipe.section import Section

SPEED_ONLY = frozenset(
    {
        "base_url",
        "api_key",
        "concurrency",
        "requests_per_minute",
        "timeout",
        "retry_wait",
        "input_price",
        "output_price",
        "engines",
        "batch_size",
        "min_answered",
    }
)
"""Fields that say where, how fast and at what price answers come, but not which, and what only a check reads:
an asset with `thresholds={"vlm": SPEED_ONLY}` keeps its outputs when they change."""


class SourceText(Section):
    """No model: the source's own text, and what can be measured, answer. Nothing is downloaded."""

    kind: Literal["source"] = "source"


class Asked(Section):
    """What is asked of a model, whoever runs it."""

    model: str
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=512, ge=1)
    """Of one answer; a longer one is cut off and does not count."""
    max_side: int = Field(default=768, ge=32)
    """Pixels; larger pictures are scaled down before they are sent."""
    prompts: dict[str, str] = Field(default_factory=dict)
    """Texts that replace prompts of `jobs/vlm/prompts`, by name, with the same `{placeholders}`."""
    round: int = Field(default=0, ge=0)
    """Raise it to ask again what nobody could be reached for; what was answered is not asked again."""
    min_answered: float = Field(default=0.98, ge=0, le=1)
    """Where a smaller share of a drop's questions reached the model, nothing is made from the drop."""


class OpenAiEndpoint(Asked):
    """An OpenAI-compatible server: vLLM, SGLang, or a hosted one."""

    kind: Literal["openai"] = "openai"
    base_url: str
    """Such as `http://127.0.0.1:8000/v1`."""
    api_key: str | None = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; null where the server asks for none."""
    concurrency: int = Field(default=16, ge=1)
    """Requests at once, of one worker."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Of one worker."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for one answer."""
    attempts: int = Field(default=4, ge=1)
    """Of one question: after errors, refusals and answers that do not fit."""
    retry_wait: float = Field(default=1.0, gt=0)
    """Seconds before the second attempt after an error; each further wait is twice as long, and jittered."""
    input_price: float = Field(default=0.0, ge=0)
    """Per million tokens, in any currency: the cost in the metadata is counted in it."""
    output_price: float = Field(default=0.0, ge=0)

    @field_validator("base_url")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/]\S*", value):
            raise ValueError("an address starts with http:// or https://, such as http://127.0.0.1:8000/v1")
        return value

    @field_validator("api_key")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        # Nothing of the value is repeated: it may be a key that was pasted here.
        if value is not None and not re.fullmatch(r"[A-Z_][A-Z0-9_]*", value):
            raise ValueError("this names an environment variable, such as OPENAI_API_KEY, and is no key")
        return value


class InClusterVllm(Asked):
    """A vLLM engine on the cluster's own GPUs, through `ray.data.llm`. `model`: a folder or a hub name."""

    kind: Literal["vllm"] = "vllm"
    engines: int = Field(default=1, ge=1)
    """Replicas; each takes the GPUs that one engine needs."""
    batch_size: int = Field(default=64, ge=1)
    max_model_len: int = Field(default=8192, ge=512)


VlmSettings = Annotated[SourceText | OpenAiEndpoint | InClusterVllm, Field(discriminator="kind")]
