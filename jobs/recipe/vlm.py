"""Who answers questions about pictures: captions, judgements, subjects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from jobs.recipe.section import Section


class SourceText(Section):
    """No model: the source's own text, and what can be measured, answer. Nothing is downloaded."""

    kind: Literal["source"] = "source"


class OpenAiEndpoint(Section):
    """An OpenAI-compatible server: vLLM, SGLang, or a hosted one."""

    kind: Literal["openai"] = "openai"
    base_url: str
    """Such as `http://127.0.0.1:8000/v1`."""
    model: str
    api_key: str = "OPENAI_API_KEY"
    """Name of the environment variable that holds the key; the key itself stands in no recipe."""
    concurrency: int = Field(default=16, ge=1)
    """Requests at once, of one worker."""
    requests_per_minute: int | None = Field(default=None, ge=1)
    """Of one worker."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds for one answer."""
    attempts: int = Field(default=4, ge=1)
    """Of one question: after errors, refusals and answers that do not fit; waits grow and are jittered."""
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=512, ge=1)
    max_side: int = Field(default=768, ge=32)
    """Pixels; larger pictures are scaled down before they are sent."""
    input_price: float = Field(default=0.0, ge=0)
    """Per million tokens, in any currency: the cost in the metadata is counted in it."""
    output_price: float = Field(default=0.0, ge=0)


class InClusterVllm(Section):
    """A vLLM engine on the cluster's own GPUs, through `ray.data.llm`."""

    kind: Literal["vllm"] = "vllm"
    model: str
    """A local folder or a hub name."""
    engines: int = Field(default=1, ge=1)
    """Replicas; each takes the GPUs that one engine needs."""
    batch_size: int = Field(default=64, ge=1)
    max_model_len: int = Field(default=8192, ge=512)
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=512, ge=1)
    max_side: int = Field(default=768, ge=32)


VlmSettings = Annotated[SourceText | OpenAiEndpoint | InClusterVllm, Field(discriminator="kind")]
