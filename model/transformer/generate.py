"""Images from prompts: one forward pass per scale over a cache of keys and values.

Every sample draws from its own generator, so a seed gives the same picture alone and in any batch, as far
as the arithmetic of batched products allows.

Shapes: B samples, R = B or 2B rows (with guidance, unconditional rows follow), Q new positions,
N tokens of an image, L codes of a scale, V codes, E hidden width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.transformer.cache import CachedAttention
from model.transformer.model import NextScaleTransformer
from model.transformer.positions import Positions, grid_positions, rotations, text_positions

Decode = Callable[[Tensor, ScaleSchedule], Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class SamplingOptions:
    """How codes are drawn.

    Logits are unconditional + guidance * (conditional - unconditional), over the temperature; 1 is no
    guidance. The temperature goes linearly from the first scale's to the last's: coarse codes decide what a
    picture shows, fine ones carry it out. `top_k` keeps the likeliest codes (0: all), `top_p` the fewest
    that hold this probability.
    """

    guidance: float = 2.0
    temperature: float = 1.0
    final_temperature: float | None = None
    """Of the last scale; None: that of the first."""
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        coldest = self.temperature_at(1.0)
        if self.guidance < 0 or min(self.temperature, coldest) <= 0:
            raise ValueError(f"sampling options out of range: {self}")
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"sampling options out of range: {self}")

    def temperature_at(self, progress: float) -> float:
        """The temperature of a scale, from 0, the first, to 1, the last."""
        final = self.temperature if self.final_temperature is None else self.final_temperature
        return self.temperature + (final - self.temperature) * progress


@dataclass(frozen=True)
class GeneratedImages:
    """Codes [B, N] and the pictures [B, 3, height, width] in [-1, 1] they decode to."""

    indices_BN: Tensor
    images_BCHW: Tensor


def generate_images(
    model: NextScaleTransformer,
    decode: Decode,
    prompts: Sequence[Sequence[int]],
    schedule: ScaleSchedule,
    sampling: SamplingOptions,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> GeneratedImages:
    """Sample one image per prompt.

    Args:
        decode: codes [B, N] of a schedule to images, such as `ImageTokenizer.decode`.
        prompts: text ids, without `<boi>`; may be empty.
        seeds: one per prompt.
        progress: called with (scales done, scales) after every scale.

    Raises:
        FloatingPointError: the model's logits are not finite.
    """
    indices_BN = generate_indices(model, prompts, schedule, sampling, seeds, progress)
    with torch.no_grad():
        return GeneratedImages(indices_BN, decode(indices_BN, schedule))


@torch.no_grad()
def generate_indices(
    model: NextScaleTransformer,
    prompts: Sequence[Sequence[int]],
    schedule: ScaleSchedule,
    sampling: SamplingOptions,
    seeds: Sequence[int],
    progress: Progress | None = None,
) -> Tensor:
    """Sample the codes of one image per prompt: [B, N]. See `generate_images`."""
    if not prompts or len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts with {len(seeds)} seeds")
    guided = sampling.guidance != 1.0
    rows = [*prompts, *([()] * len(prompts) if guided else [])]
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    session = Session(model, rows, schedule)
    codes_BN = torch.empty(len(prompts), 0, dtype=torch.int64, device=session.device)
    for scale in range(1, len(schedule.grids) + 1):
        logits_RLV = session.logits(codes_BN.repeat(2 if guided else 1, 1), scale)
        if not logits_RLV.isfinite().all():
            raise FloatingPointError(f"the model's logits are not finite at scale {scale}; is it diverged?")
        logits_BLV = _guide(logits_RLV, sampling.guidance) if guided else logits_RLV
        temperature = sampling.temperature_at((scale - 1) / max(1, len(schedule.grids) - 1))
        drawn_BL = draw(logits_BLV, temperature, sampling, generators)
        codes_BN = torch.cat([codes_BN, drawn_BL], dim=1)
        if progress:
            progress(scale, len(schedule.grids))
    return codes_BN


class Session:
    """One image per row of prompts under way: the cache and the time of every row's `<boi>`."""

    def __init__(
        self, model: NextScaleTransformer, prompts: Sequence[Sequence[int]], schedule: ScaleSchedule
    ) -> None:
        self.model = model
        self.schedule = schedule
        self.prompts = prompts
        self.lengths = [len(p) for p in prompts]
        weight = model.lm_head.weight
        self.device = weight.device
        self.longest = max(self.lengths)
        padding_R = torch.tensor([self.longest - n for n in self.lengths], device=self.device)
        capacity = self.longest + schedule.tokens
        self.attend = CachedAttention(model.config, len(prompts), capacity, weight, padding_R)

    def logits(self, codes_RN: Tensor, scale: int) -> Tensor:
        """Logits of the codes of `scale` given those of coarser scales: [R, L, V]. Call in order."""
        x_RQE = self.model.visual.block(codes_RN, self.schedule, scale)
        positions = [self._block_positions(scale, boi) for boi in self.lengths]
        if scale == 1:
            x_RQE = torch.cat([self._prompt_inputs(), x_RQE], dim=1)
            positions = [
                np.concatenate([text_positions(boi - self.longest, self.longest), block])
                for boi, block in zip(self.lengths, positions, strict=True)
            ]
        self.attend.expect(x_RQE.shape[1], causal=scale == 1)
        positions_RQ3 = torch.from_numpy(np.stack(positions)).to(self.device)
        rotation = rotations(positions_RQ3, self.model.config)
        hidden_RQE = self.model.model(x_RQE, rotation, self.attend)
        length = self.schedule.lengths[scale - 1]
        return self.model.code_logits(hidden_RQE[:, -length:]).float()

    def _prompt_inputs(self) -> Tensor:
        """Text embeddings, padded on the left: [R, longest, E]."""
        end = self.model.config.end_id
        ids = [[end] * (self.longest - len(p)) + list(p) for p in self.prompts]
        ids_RQ = torch.tensor(ids, dtype=torch.int64, device=self.device)
        embedded: Tensor = self.model.model.embed_tokens(ids_RQ)
        return embedded

    def _block_positions(self, scale: int, boi: int) -> Positions:
        if scale == 1:
            return text_positions(boi, 1)
        height, width = self.schedule.grids[scale - 1]
        return grid_positions(height, width, scale, boi, self.model.config)


def _guide(logits_RLV: Tensor, guidance: float) -> Tensor:
    conditional, unconditional = logits_RLV.chunk(2)
    return unconditional + guidance * (conditional - unconditional)


def draw(
    logits_BLV: Tensor,
    temperature: float,
    sampling: SamplingOptions,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Draw codes [B, L], sample b by the uniforms of its own generator."""
    logits_BLV = logits_BLV / temperature
    if 0 < sampling.top_k < logits_BLV.shape[-1]:
        smallest = logits_BLV.topk(sampling.top_k).values[..., -1:]
        logits_BLV = logits_BLV.masked_fill(logits_BLV < smallest, -torch.inf)
    probabilities_BLV = logits_BLV.softmax(-1)
    if sampling.top_p < 1:
        probabilities_BLV = _nucleus(probabilities_BLV, sampling.top_p)
    length = logits_BLV.shape[1]
    uniforms_BL = torch.stack([torch.rand(length, generator=g) for g in generators]).to(logits_BLV.device)
    cumulative_BLV = probabilities_BLV.cumsum(-1)
    thresholds_BL1 = uniforms_BL[..., None] * cumulative_BLV[..., -1:]
    # The first code whose cumulative probability exceeds the threshold; a code of probability 0 never does.
    drawn_BL1 = torch.searchsorted(cumulative_BLV, thresholds_BL1, right=True)
    return drawn_BL1.squeeze(-1).clamp(max=logits_BLV.shape[-1] - 1)


def _nucleus(probabilities_BLV: Tensor, top_p: float) -> Tensor:
    """Zero all but the fewest likeliest codes that hold `top_p` of the probability."""
    ordered, order = probabilities_BLV.sort(-1, descending=True)
    ordered = ordered.masked_fill(ordered.cumsum(-1) - ordered >= top_p, 0)
    return torch.zeros_like(ordered).scatter(-1, order, ordered)
