"""Codebook health: codes start on data, unused ones move back onto data, and their use is counted.

All work on the residuals of a batch at all scales ("vectors" [M, C]), since one codebook serves all scales.
Workers that call these with the same images, generator and counts keep the same codebook.

Shapes: B batch, h w cells of the finest grid, N tokens of an image, M vectors, C codebook width, S semantic
width, V codebook rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.scales import ScaleSchedule
from model.tokenizer.linear_path import start_linear_path
from model.tokenizer.quantizer import Quantized, SharedQuantizer, shrink, unit
from model.tokenizer.tokenizer import ImageTokenizer

LLOYD_ROUNDS = 4
SEMANTIC_ROUNDS = 8


@dataclass(frozen=True)
class CodeUse:
    """How a codebook is used: the share of codes that occur, how many do not, exp(entropy) of their use."""

    share: float
    dead: int
    perplexity: float


def code_use(counts_V: Tensor) -> CodeUse:
    """Statistics of how often each code occurred."""
    shares_V = counts_V.double() / counts_V.sum().clamp_min(1)
    entropy = -(shares_V * shares_V.clamp_min(1e-300).log()).sum()
    used = int((counts_V > 0).sum())
    return CodeUse(used / len(counts_V), len(counts_V) - used, float(entropy.exp()))


@torch.no_grad()
def initialize_codebook(
    tokenizer: ImageTokenizer, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
) -> None:
    """Fits the codebook to the residuals of a batch at all scales, by a few rounds of k-means.

    Where the config has a linear path, that starts first, at the images' principal components. Call once
    before training from nothing, with a few hundred images where there are as many.
    """
    tokenizer.check(images_BCHW, schedule)
    if tokenizer.config.linear_path:
        start_linear_path(tokenizer.pixel_encoder, tokenizer.pixel_decoder, images_BCHW, len(schedule.grids))
    _fit(tokenizer.quantizer, tokenizer.features(images_BCHW), schedule, generator)
    tokenizer.code_use.zero_()


@torch.no_grad()
def revive_dead_codes(
    tokenizer: ImageTokenizer, images_BCHW: Tensor, schedule: ScaleSchedule, generator: torch.Generator
) -> int:
    """Moves codes that no training batch has used since the last call onto residuals of these images.

    Returns how many it moved. `code_use` is to be summed over workers first.
    """
    tokenizer.check(images_BCHW, schedule)
    dead_V = tokenizer.code_use == 0
    vectors_MC = _vectors(tokenizer.quantizer(tokenizer.features(images_BCHW), schedule.grids))
    _move(tokenizer.quantizer, dead_V, vectors_MC, generator)
    tokenizer.code_use.zero_()
    return int(dead_V.sum())


@torch.no_grad()
def fit_semantic_codes(
    quantizer: SharedQuantizer,
    features_BChw: Tensor,
    schedule: ScaleSchedule,
    indices_BN: Tensor,
    generator: torch.Generator,
) -> None:
    """Fits semantic codes to the semantic features whose indices are given (paper 3.1).

    The indices are those that the pixel branch alone chose. A place is explained by the codes of all K scales
    together, so codes start at zero and each round adds to them 1/K of the mean of what is left unexplained
    where they stand: gradient descent on the squared error, which cannot overshoot. Codes that no index names
    become copies of others.
    """
    assert quantizer.semantic_VS is not None
    quantizer.semantic_VS.zero_()
    grids, codes = schedule.grids, len(quantizer.semantic_VS)
    scales = torch.split(indices_BN, list(schedule.lengths), dim=1)
    rows_M = torch.cat([scale.flatten() for scale in scales])
    width = quantizer.widths[0]
    for _ in range(SEMANTIC_ROUNDS):
        left_BShw = (features_BChw - quantizer.features(indices_BN, grids))[:, :width]
        vectors_MS = torch.cat([shrink(left_BShw, grid).flatten(0, 1) for grid in grids])
        quantizer.semantic_VS.add_(_means(vectors_MS, rows_M, codes) / len(grids))
    named_V = torch.bincount(rows_M, minlength=codes) > 0
    copies_MS = sample(quantizer.semantic_VS[named_V], int((~named_V).sum()), generator)
    quantizer.semantic_VS[~named_V] = copies_MS
    if quantizer.unit_codes:
        quantizer.semantic_VS.copy_(unit(quantizer.semantic_VS))


def sample(vectors_MC: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the vectors, without repeats while they last, with a little noise so that none are equal."""
    order = torch.randperm(len(vectors_MC), generator=generator)
    drawn = order[torch.arange(count) % len(order)]
    noise = torch.randn(count, vectors_MC.shape[1], generator=generator)
    return vectors_MC[drawn.to(vectors_MC.device)] + 0.01 * noise.to(vectors_MC)


def _fit(
    quantizer: SharedQuantizer, features_BChw: Tensor, schedule: ScaleSchedule, generator: torch.Generator
) -> None:
    """k-means over all scales at once: codes move to the means of their vectors, unused ones to samples.

    Residuals depend on the codes, so every round quantises anew.
    """
    every_row_V = torch.arange(len(quantizer.pixel_VP), device=features_BChw.device)
    vectors_MC = _vectors(quantizer(features_BChw, schedule.grids))
    quantizer.set_rows(every_row_V, sample(vectors_MC, len(every_row_V), generator))
    for _ in range(LLOYD_ROUNDS):
        quantized = quantizer(features_BChw, schedule.grids)
        vectors_MC = _vectors(quantized)
        rows_M = torch.cat([rows.flatten() for rows in quantized.nearest])
        counts_V = torch.bincount(rows_M, minlength=len(every_row_V))
        used_M = counts_V.nonzero()[:, 0]
        quantizer.set_rows(used_M, _means(vectors_MC, rows_M, len(every_row_V))[used_M])
        _move(quantizer, counts_V == 0, vectors_MC, generator)


def _move(quantizer: SharedQuantizer, dead_V: Tensor, vectors_MC: Tensor, generator: torch.Generator) -> None:
    """Moves dead codes onto vectors drawn from the data."""
    rows_M = dead_V.nonzero()[:, 0]
    quantizer.set_rows(rows_M, sample(vectors_MC, len(rows_M), generator))


def _vectors(quantized: Quantized) -> Tensor:
    """The residuals [M, C] of a batch at all scales, scale by scale."""
    return torch.cat([vectors.flatten(0, 1) for vectors in quantized.vectors])


def _means(vectors_MC: Tensor, rows_M: Tensor, codes: int) -> Tensor:
    """The mean [V, C] of the vectors of each code; zeros where it has none."""
    sums_VC = vectors_MC.new_zeros(codes, vectors_MC.shape[1]).index_add(0, rows_M, vectors_MC)
    return sums_VC / torch.bincount(rows_M, minlength=codes).clamp_min(1)[:, None]
