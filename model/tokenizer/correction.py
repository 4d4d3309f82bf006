"""Self-correction: codes a transformer reads are sampled, those it predicts are nearest (paper 2.2, 3.2.1).

Shapes: B batch, N tokens of an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from model.scales import ScaleSchedule


@dataclass(frozen=True)
class Correction:
    """How inputs are sampled: in `probability` of the images, each token of every scale but the last takes,
    with chance `share`, one of its `top_k` nearest codes, all alike."""

    probability: float = 1.0
    share: float = 0.6
    top_k: int = 50

    def __post_init__(self) -> None:
        if not (0 <= self.probability <= 1 and 0 <= self.share <= 1 and self.top_k >= 1):
            raise ValueError(f"probability and share lie in 0..1 and top_k is at least 1, got {self}")


def draw_ranks(
    schedule: ScaleSchedule, correction: Correction, generators: Sequence[torch.Generator]
) -> Tensor:
    """For each token of each image the rank [B, N] of the code it takes; 0 is the nearest.

    Each image's draws come from its own CPU generator and depend on nothing else, so that an image's codes
    are the same in every batch.
    """
    return torch.stack([_draw(schedule, correction, generator) for generator in generators])


def _draw(schedule: ScaleSchedule, correction: Correction, generator: torch.Generator) -> Tensor:
    tokens = schedule.tokens
    image_chance, token_chance_N = torch.rand(1, generator=generator), torch.rand(tokens, generator=generator)
    ranks_N = torch.randint(correction.top_k, (tokens,), generator=generator)
    sampled_N = (token_chance_N < correction.share) & (image_chance < correction.probability)
    sampled_N[schedule.starts[-1] :] = False
    return torch.where(sampled_N, ranks_N, 0)
