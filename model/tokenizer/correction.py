"""Self-correction: codes a transformer reads are sampled, those it predicts are nearest (paper 2.2, 3.2.1).

Shapes: B batch, N tokens of an image, n tokens of one scale, V codebook rows, k the nearest rows.
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


class SampledChoice:
    """Chooses the codes of each scale of a batch, from draws made once and for all at the start.

    Each image's draws come from its own generator and depend on nothing else, so that an image's codes are
    the same in every batch.
    """

    def __init__(
        self, schedule: ScaleSchedule, correction: Correction, generators: Sequence[torch.Generator]
    ) -> None:
        draws = [_draw(schedule, correction, generator) for generator in generators]
        self.ranks_BN = torch.stack(draws)
        self.spans = list(zip(schedule.starts, schedule.lengths, strict=True))
        self.top_k = correction.top_k

    def __call__(self, scale: int, distances_BnV: Tensor) -> Tensor:
        """The sampled indices [B, n] of a scale."""
        start, length = self.spans[scale]
        ranks_Bn = self.ranks_BN[:, start : start + length].to(distances_BnV.device)
        nearest_Bn = distances_BnV.argmin(dim=-1)
        if not ranks_Bn.any():
            return nearest_Bn
        ranked_Bnk = distances_BnV.topk(self.top_k, largest=False).indices
        sampled_Bn = ranked_Bnk.gather(-1, ranks_Bn[..., None])[..., 0]
        return torch.where(ranks_Bn > 0, sampled_Bn, nearest_Bn)


def _draw(schedule: ScaleSchedule, correction: Correction, generator: torch.Generator) -> Tensor:
    """For each token of one image, the rank of the code it takes; 0 is the nearest."""
    tokens = schedule.tokens
    image_chance, token_chance_N = torch.rand(1, generator=generator), torch.rand(tokens, generator=generator)
    ranks_N = torch.randint(correction.top_k, (tokens,), generator=generator)
    sampled_N = (token_chance_N < correction.share) & (image_chance < correction.probability)
    sampled_N[schedule.starts[-1] :] = False
    return torch.where(sampled_N, ranks_N, 0)
