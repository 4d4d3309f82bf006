"""Multi-scale residual quantisation with one index for a semantic and a pixel code (paper 2.1, TokenFlow).

At each grid, coarse to fine, the residual is averaged down to the grid, each half of it is normalised to
length one, and the nearest row of the codebook (its halves of length one, too) is looked up. The row's
bicubic enlargement is what the scale explains; it is subtracted before the next scale. Without
`unit_codes` nothing is normalised, as in VAR: rows have lengths of their own, and one near zero says that
nothing is left to explain. All of it runs in full float32: a rounded distance would choose other codes.

Shapes: B batch, C codebook width (semantic + pixel), h w cells of the finest grid, n cells of one grid,
N cells of all grids together, V codebook rows, S semantic width, P pixel width, M any number of vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.scales import Grid
from model.tokenizer.config import TokenizerConfig
from model.tokenizer.search import nearest_codes, ranking_rows


@dataclass(frozen=True)
class Quantized:
    """What a pyramid of grids made of a feature map; lists run over the grids.

    `features` [B, C, h, w] is the sum of what all scales explain; gradients pass straight through it to
    the encoder. `vectors` [B, n, C] are the residuals as they are looked up, `codes` [B, n, C] their rows
    of the codebook, `nearest` and `chosen` [B, n] the indices of the nearest rows and of those subtracted.
    """

    features: Tensor
    vectors: list[Tensor]
    codes: list[Tensor]
    nearest: list[Tensor]
    chosen: list[Tensor]


class SharedQuantizer(nn.Module):
    """The two codebooks, [V, S] and [V, P], that share their indices; without semantic codes only one."""

    def __init__(self, config: TokenizerConfig) -> None:
        super().__init__()
        self.widths = [config.semantic_width, config.pixel_width]
        self.pixel_distance_weight = config.pixel_distance_weight
        self.unit_codes = config.unit_codes
        self.semantic_VS: nn.Parameter | None = None
        if config.semantic_width:
            semantic_VS = unit(torch.randn(config.codebook_size, config.semantic_width))
            self.semantic_VS = nn.Parameter(semantic_VS)
        self.pixel_VP = nn.Parameter(unit(torch.randn(config.codebook_size, config.pixel_width)))

    def codebook(self) -> Tensor:
        """Rows [V, C]: [semantic | pixel], each half of length one with `unit_codes`."""
        halves = [half.float() for half in (self.semantic_VS, self.pixel_VP) if half is not None]
        return self.prepare(torch.cat(halves, dim=1))

    @torch.no_grad()
    def set_rows(self, rows_M: Tensor, vectors_MC: Tensor) -> None:
        """Moves these rows of the codebooks to these vectors."""
        semantic_MS, pixel_MP = torch.split(self.prepare(vectors_MC), self.widths, dim=-1)
        if self.semantic_VS is not None:
            self.semantic_VS[rows_M] = semantic_MS.to(self.semantic_VS)
        self.pixel_VP[rows_M] = pixel_MP.to(self.pixel_VP)

    def prepare(self, vectors: Tensor) -> Tensor:
        """Vectors [..., C] as they are compared: with `unit_codes`, both halves of length one."""
        if not self.unit_codes:
            return vectors
        return torch.cat([unit(half) for half in torch.split(vectors, self.widths, dim=-1)], dim=-1)

    def forward(
        self, features_BChw: Tensor, grids: Sequence[Grid], ranks_BN: Tensor | None = None
    ) -> Quantized:
        """Quantises a feature map on each grid in turn; the last grid must be the feature map's own.

        Args:
            ranks_BN: which code enters the residual: 0 the nearest (everywhere where None), 1 the second
                nearest, and so on.
        """
        with full_float32(features_BChw.device):
            return self._quantise(features_BChw.float(), grids, ranks_BN)

    def features(self, indices_BN: Tensor, grids: Sequence[Grid]) -> Tensor:
        """The feature map [B, C, h, w] that indices on these grids stand for."""
        with full_float32(indices_BN.device):
            codebook_VC = self.codebook()
            scales = torch.split(indices_BN, [height * width for height, width in grids], dim=1)
            enlarged = [
                enlarge(codebook_VC[indices_Bn], grid, grids[-1])
                for indices_Bn, grid in zip(scales, grids, strict=True)
            ]
            return torch.stack(enlarged).sum(dim=0)

    def _quantise(self, residual_BChw: Tensor, grids: Sequence[Grid], ranks_BN: Tensor | None) -> Quantized:
        codebook_VC, rows_VK = self.codebook(), self._ranking_rows()
        result = Quantized(torch.zeros_like(residual_BChw), [], [], [], [])
        start = 0
        for grid in grids:
            vectors_BnC = self.prepare(shrink(residual_BChw, grid))
            place = slice(start, start := start + vectors_BnC.shape[1])
            ranks_M = None if ranks_BN is None else ranks_BN[:, place].flatten()
            found = nearest_codes(vectors_BnC.detach().flatten(0, 1), rows_VK, ranks_M)
            nearest_Bn, chosen_Bn = (indices_M.reshape(vectors_BnC.shape[:2]) for indices_M in found)
            codes_BnC = functional.embedding(chosen_Bn, codebook_VC)
            straight_BnC = vectors_BnC + (codes_BnC - vectors_BnC).detach()
            explained_BChw = enlarge(straight_BnC, grid, grids[-1])
            residual_BChw = residual_BChw - explained_BChw.detach()
            result = Quantized(
                result.features + explained_BChw,
                [*result.vectors, vectors_BnC],
                [*result.codes, codes_BnC],
                [*result.nearest, nearest_Bn],
                [*result.chosen, chosen_Bn],
            )
        return result

    def _ranking_rows(self) -> Tensor:
        """The codebook as `d_semantic + w * d_pixel` ranks it."""
        codebook_VC = self.codebook().detach()
        semantic, pixel = self.widths
        weights = [1.0] * semantic + [self.pixel_distance_weight] * pixel
        return ranking_rows(codebook_VC, codebook_VC.new_tensor(weights))


def unit(vectors: Tensor) -> Tensor:
    """Vectors [..., C] scaled to length one."""
    return functional.normalize(vectors, dim=-1)


def shrink(features_BChw: Tensor, grid: Grid) -> Tensor:
    """Averages a feature map over the cells of a coarser grid: [B, n, C]."""
    return functional.interpolate(features_BChw, size=grid, mode="area").flatten(2).transpose(1, 2)


def enlarge(vectors_BnC: Tensor, grid: Grid, size: Grid) -> Tensor:
    """Bicubic enlargement of a grid's vectors to a feature map [B, C, h, w]."""
    coarse_BChw = vectors_BnC.transpose(1, 2).reshape(len(vectors_BnC), -1, *grid)
    return functional.interpolate(coarse_BChw, size=size, mode="bicubic", align_corners=False)


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Switches autocast and reduced-precision float32 matrix products (TF32) off."""
    precision = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
