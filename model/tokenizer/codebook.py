"""Codebook health: codes start on data, and codes that nothing uses are moved back onto data.

Both work on the residuals of a batch at all scales ("vectors" [M, C]), since one codebook
serves all scales. Shapes: M vectors, C codebook width, V codebook rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.scales import Grid
from model.tokenizer.quantizer import SharedQuantizer

LLOYD_ROUNDS = 4


@torch.no_grad()
def fit_codebook(
    quantizer: SharedQuantizer, features_BChw: Tensor, grids: tuple[Grid, ...], generator: torch.Generator
) -> None:
    """k-means over all scales at once: codes move to the means of their vectors, unused ones to samples.

    Residuals depend on the codes, so every round quantises anew.
    """
    every_row_V = torch.arange(len(quantizer.pixel_VP))
    vectors_MC, _ = _assign(quantizer, features_BChw, grids)
    quantizer.set_rows(every_row_V, sample(vectors_MC, len(every_row_V), generator))
    for _ in range(LLOYD_ROUNDS):
        vectors_MC, rows_M = _assign(quantizer, features_BChw, grids)
        counts_V = torch.bincount(rows_M, minlength=len(every_row_V))
        sums_VC = torch.zeros_like(quantizer.codebook()).index_add(0, rows_M, vectors_MC)
        used_M = counts_V.nonzero()[:, 0]
        quantizer.set_rows(used_M, sums_VC[used_M] / counts_V[used_M, None])
        revive(quantizer, counts_V == 0, vectors_MC, generator)


def revive(
    quantizer: SharedQuantizer, dead_V: Tensor, vectors_MC: Tensor, generator: torch.Generator
) -> None:
    """Moves dead codes onto vectors drawn from the data."""
    rows_M = dead_V.nonzero()[:, 0]
    quantizer.set_rows(rows_M, sample(vectors_MC, len(rows_M), generator))


def sample(vectors_MC: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`count` of the vectors, without repeats while they last, with a little noise so that none are equal."""
    order = torch.randperm(len(vectors_MC), generator=generator)
    drawn = order[torch.arange(count) % len(order)]
    noise = torch.randn(count, vectors_MC.shape[1], generator=generator)
    return vectors_MC[drawn.to(vectors_MC.device)] + 0.01 * noise.to(vectors_MC)


def _assign(
    quantizer: SharedQuantizer, features_BChw: Tensor, grids: tuple[Grid, ...]
) -> tuple[Tensor, Tensor]:
    """All vectors [M, C] of a batch and the rows [M] nearest to them."""
    quantized = quantizer(features_BChw, grids)
    vectors_MC = torch.cat([vectors.flatten(0, 1) for vectors in quantized.vectors])
    return vectors_MC, torch.cat([rows.flatten() for rows in quantized.nearest])
