"""Drawing ids from logits: temperature, top-k, top-p, and guidance over the scales of an image.

Shapes: B samples, L positions of a sample, V ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Branch = Literal["everything", "images", "nothing"]
"""What of its context a row of a document knows."""


@dataclass(frozen=True)
class TextSampling:
    """How text is drawn: `top_k` keeps the likeliest ids (0: all; 1: greedy), `top_p` the fewest that hold
    this probability."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    ids: int | None = None
    """Ids that the text tokenizer knows; published models have more rows than that."""

    def __post_init__(self) -> None:
        if self.temperature <= 0 or self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"sampling options out of range: {self}")


@dataclass(frozen=True)
class SamplingOptions:
    """How the codes of an image are drawn.

    With nothing but text to go by, logits are unconditional + guidance * (conditional - unconditional), over
    the temperature; 1 is no guidance. Where images are read, too, there is a branch between that reads the
    images alone, and `image_guidance` says how much they count (see `branch_weights`).

    Guidance and temperature go linearly from the first scale's to the last's: coarse codes decide what a
    picture shows, fine ones carry it out. `top_k` keeps the likeliest codes (0: all), `top_p` the fewest
    that hold this probability.
    """

    guidance: float = 2.0
    final_guidance: float | None = None
    """Of the last scale; None: that of the first."""
    image_guidance: float | None = None
    """None: images count as much as the text."""
    unguided_scales: int = 0
    """How many of the last scales go without guidance, at half of their cost."""
    temperature: float = 1.0
    final_temperature: float | None = None
    """Of the last scale; None: that of the first."""
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        guidances = (self.guidance, self.final_guidance, self.image_guidance)
        if min(g for g in guidances if g is not None) < 0 or self.unguided_scales < 0:
            raise ValueError(f"sampling options out of range: {self}")
        if min(self.temperature, self.temperature_at(1.0)) <= 0:
            raise ValueError(f"sampling options out of range: {self}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"sampling options out of range: {self}")

    def temperature_at(self, progress: float) -> float:
        """The temperature of a scale, from 0, the first, to 1, the last."""
        return _between(self.temperature, self.final_temperature, progress)

    def branch_weights(self, scale: int, scales: int, reads_images: bool) -> dict[Branch, float]:
        """The share of each branch in the logits of a scale, from 1 to `scales`; those of 0 are left out.

        Branches read everything, the images alone, or nothing. They are weighed as in InstructPix2Pix
        (arXiv 2211.09800, eq. 3): nothing + image_guidance * (images - nothing) + guidance * (everything -
        images).
        """
        if scale > scales - self.unguided_scales:
            return {"everything": 1.0}
        guidance = _between(self.guidance, self.final_guidance, scale_progress(scale, scales))
        images = guidance if self.image_guidance is None or not reads_images else self.image_guidance
        weights: dict[Branch, float] = {
            "everything": guidance, "images": images - guidance, "nothing": 1.0 - images
        }  # fmt: skip
        return {branch: weight for branch, weight in weights.items() if weight}


def scale_progress(scale: int, scales: int) -> float:
    """0 at the first scale, 1 at the last."""
    return (scale - 1) / max(1, scales - 1)


def draw(
    logits_BLV: Tensor,
    temperature: float,
    top_k: int,
    top_p: float,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Draw ids [B, L], sample b by the uniforms of its own generator, in fp32."""
    logits_BLV = logits_BLV.float() / temperature
    if 0 < top_k < logits_BLV.shape[-1]:
        smallest = logits_BLV.topk(top_k).values[..., -1:]
        logits_BLV = logits_BLV.masked_fill(logits_BLV < smallest, -torch.inf)
    probabilities_BLV = logits_BLV.softmax(-1)
    if top_p < 1:
        probabilities_BLV = keep_likeliest(probabilities_BLV, top_p)
    length = logits_BLV.shape[1]
    uniforms_BL = torch.stack([torch.rand(length, generator=g) for g in generators]).to(logits_BLV.device)
    cumulative_BLV = probabilities_BLV.cumsum(-1)
    thresholds_BL1 = uniforms_BL[..., None] * cumulative_BLV[..., -1:]
    # The first id whose cumulative probability exceeds the threshold; one of probability 0 never does.
    drawn_BL1 = torch.searchsorted(cumulative_BLV, thresholds_BL1, right=True)
    return drawn_BL1.squeeze(-1).clamp(max=logits_BLV.shape[-1] - 1)


def keep_likeliest(probabilities: Tensor, top_p: float) -> Tensor:
    """Zero all but the fewest likeliest ids that hold `top_p` of the probability; ties are kept: [..., V].

    There is no sort, which would be the slowest step of a large scale. The least probability that is kept
    is found by halving the range of fp32's bit patterns, which for positive numbers are in their order.
    """
    low = torch.zeros(*probabilities.shape[:-1], 1, dtype=torch.int32, device=probabilities.device)
    high = probabilities.amax(-1, keepdim=True).view(torch.int32) + 1
    for _ in range(31):
        middle = low + (high - low) // 2
        held = probabilities.where(probabilities >= middle.view(torch.float32), 0).sum(-1, keepdim=True)
        enough = held >= top_p
        low, high = middle.where(enough, low), high.where(enough, middle)
    return probabilities.where(probabilities >= low.view(torch.float32), 0)


def _between(first: float, last: float | None, progress: float) -> float:
    return first + ((first if last is None else last) - first) * progress
